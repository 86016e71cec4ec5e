variable "name" {
  type = string
}

variable "description" {
  type = string
}

variable "schedule_expression" {
  type    = string
  default = null
}

variable "event_pattern" {
  description = "As JSON."
  type        = string
  default     = null
}

variable "targets" {
  description = "The functions, by a name of your own."
  type = map(object({
    arn               = string
    input             = optional(string)
    dead_letter_arn   = optional(string)
    input_transformer = optional(object({ input_paths = map(string), input_template = string }))
  }))
}

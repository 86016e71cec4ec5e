variable "name" {
  type = string
}

variable "description" {
  type = string
}

variable "metrics" {
  description = "By the ids that the expression knows them by."
  type = map(object({
    namespace  = string
    name       = string
    dimensions = map(string)
    period     = number
    stat       = string
  }))
}

variable "expression" {
  description = "What is made of several metrics; none of a single one."
  type        = string
  default     = null
}

variable "threshold" {
  type = number
}

variable "below" {
  description = "Whether it rings below the threshold, and not above."
  type        = bool
}

variable "evaluation_periods" {
  type = number
}

variable "datapoints_to_alarm" {
  type = number
}

variable "treat_missing_data" {
  type = string
}

variable "actions" {
  description = "The ARNs that are told that it rings, and that it is over."
  type        = list(string)
}

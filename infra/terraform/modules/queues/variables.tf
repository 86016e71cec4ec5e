variable "name" {
  type = string
}

variable "visibility_timeout_seconds" {
  type = number
}

variable "max_receive_count" {
  type = number
}

variable "kms_key_arn" {
  type    = string
  default = null
}

variable "queue_statements" {
  description = "What else the queue's policy says."
  type        = any
  default     = []
}

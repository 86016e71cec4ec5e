variable "name" {
  type = string
}

variable "description" {
  type = string
}

variable "account" {
  description = "Where the function is: its own ARN is known before it is made."
  type        = object({ partition = string, region = string, id = string })
}

variable "package" {
  description = "The zip file of the program, and its hash."
  type        = object({ filename = string, hash = string })
}

variable "architecture" {
  type = string
}

variable "timeout" {
  description = "Seconds."
  type        = number
}

variable "memory_size" {
  description = "MiB."
  type        = number
}

variable "environment" {
  type = map(string)
}

variable "statements" {
  description = "What the function's role may do, beside writing its log and reaching its VPC."
  type        = any
  default     = []
}

variable "network" {
  description = "Where it stands in a VPC; outside of any if it is null."
  type        = object({ subnet_ids = list(string), security_group_id = string })
  default     = null
}

variable "layers" {
  type    = list(string)
  default = []
}

variable "log" {
  type = object({
    retention_days = number
    kms_key_arn    = optional(string)
    keep           = optional(bool, false)
  })
}

variable "reserved_concurrent_executions" {
  type    = number
  default = -1
}

variable "tracing" {
  description = "Active, PassThrough, or null."
  type        = string
}

variable "tags" {
  type    = map(string)
  default = {}
}

# Around it.

variable "endpoints" {
  description = "VPC endpoints to make, each only if it is said, where subnet_ids have no way out. Private DNS is the whole VPC's: on_imported_vpc = true says that everybody in it may be led through them. peers are the CIDRs that are let in; without, the VPC's own."
  type = object({
    sqs             = optional(bool, false)
    secrets_manager = optional(bool, false)
    peers           = optional(list(string))
    on_imported_vpc = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.endpoints.on_imported_vpc || !(var.endpoints.sqs || var.endpoints.secrets_manager)
    error_message = "endpoints must have on_imported_vpc = true beside sqs or secrets_manager: with their private DNS, everybody in the VPC reaches these services through them, or not at all."
  }

  validation {
    condition     = var.endpoints.peers == null || try(length(var.endpoints.peers) > 0 && alltrue([for cidr in var.endpoints.peers : can(cidrhost(cidr, 0))]), false)
    error_message = "endpoints.peers must be CIDRs, such as [\"10.0.0.0/16\"], or left out for the VPC's own."
  }
}

variable "encryption_key_arn" {
  description = "A symmetric key for the queues and the trigger's log. Its policy must permit logs.<region>.amazonaws.com to use it, and events.amazonaws.com with login_context.cloudtrail."
  type        = string
  default     = null

  validation {
    condition     = var.encryption_key_arn == null || can(regex("^arn:[^:]+:kms:.+:key/", var.encryption_key_arn))
    error_message = "encryption_key_arn must be the ARN of a key, and not of an alias."
  }
}

variable "log_retention_days" {
  description = "How long logs are kept. An undelivered event is in the trigger's log and nowhere else: replay it before."
  type        = number
  default     = 90

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of those that CloudWatch Logs takes: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "log_level" {
  description = "What the programs log: TRACE, DEBUG, INFO, WARN or ERROR; null is INFO."
  type        = string
  default     = null

  validation {
    condition     = var.log_level == null || try(contains(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"], var.log_level), false)
    error_message = "log_level must be TRACE, DEBUG, INFO, WARN or ERROR."
  }
}

variable "tracing" {
  description = "Whether X-Ray traces the functions: Active or PassThrough; null is not."
  type        = string
  default     = null

  validation {
    condition     = var.tracing == null || try(contains(["Active", "PassThrough"], var.tracing), false)
    error_message = "tracing must be Active or PassThrough, or left out."
  }
}

variable "deployment_check" {
  description = "Whether an apply sends a heartbeat as its last step, and waits until it is in the database: it fails with the consumer's own error if not."
  type        = bool
  default     = false
}

variable "alarm_actions" {
  description = "The ARNs, such as an SNS topic's, that are told when an alarm rings, and when it is over."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_actions : startswith(arn, "arn:")])
    error_message = "alarm_actions must be ARNs, such as arn:aws:sns:eu-west-1:123456789012:oncall."
  }
}

variable "alarm_thresholds" {
  description = "From where on each alarm rings, under the names that docs/runbook.md explains. trigger_duration_milliseconds is 2500 by default, and 4000 with a chained function."
  type = object({
    heartbeat_intervals           = optional(number, 3)
    undelivered                   = optional(number, 0)
    dead_letters                  = optional(number, 0)
    oldest_message_seconds        = optional(number, 900)
    freshness_seconds             = optional(number, 300)
    trigger_errors                = optional(number, 0)
    trigger_throttles             = optional(number, 0)
    trigger_duration_milliseconds = optional(number)
    chain_failed                  = optional(number, 0)
    lifecycle_failures            = optional(number, 0)
    consumer_errors               = optional(number, 0)
    ledger_ahead_days             = optional(number, 35)
    drift                         = optional(number, 0)
    context_dead_letters          = optional(number, 0)
    oldest_context_seconds        = optional(number, 3600)
    sign_in_record_failures       = optional(number, 0)
    logins_unaccounted            = optional(number, 0)
    audit_hours                   = optional(number, 3)
  })
  default = {}

  validation {
    condition     = alltrue([for name, value in var.alarm_thresholds : value == null || try(value >= 0 && floor(value) == value, false)])
    error_message = "alarm_thresholds must be whole numbers."
  }

  validation {
    condition = (
      var.alarm_thresholds.heartbeat_intervals >= 2 && var.alarm_thresholds.heartbeat_intervals <= 24 &&
      var.alarm_thresholds.audit_hours >= 1 && var.alarm_thresholds.audit_hours <= 24 &&
      var.alarm_thresholds.ledger_ahead_days >= 1 && var.alarm_thresholds.ledger_ahead_days <= 60
    )
    error_message = "alarm_thresholds must have heartbeat_intervals from 2 to 24, audit_hours from 1 to 24 and ledger_ahead_days from 1 to 60."
  }
}

# The user pool.

variable "attach_triggers" {
  description = "Whether the module makes its function the pool's PostConfirmation and PostAuthentication trigger. Set it to false where an aws_cognito_user_pool with a lambda_config, or another tool, owns them: give that the output trigger_arn."
  type        = bool
  default     = true
}

variable "chain_post_confirmation_arn" {
  description = "The function that was the pool's PostConfirmation trigger before. It is called first, and its answer is Cognito's."
  type        = string
  default     = null

  validation {
    condition     = var.chain_post_confirmation_arn == null || can(regex("^arn:[^:]+:lambda:", var.chain_post_confirmation_arn))
    error_message = "chain_post_confirmation_arn must be the ARN of a Lambda function."
  }
}

variable "chain_post_authentication_arn" {
  description = "The function that was the pool's PostAuthentication trigger before. It is called first, and its answer is Cognito's."
  type        = string
  default     = null

  validation {
    condition     = var.chain_post_authentication_arn == null || can(regex("^arn:[^:]+:lambda:", var.chain_post_authentication_arn))
    error_message = "chain_post_authentication_arn must be the ARN of a Lambda function."
  }
}

variable "overwrite_triggers" {
  description = "Whether to replace a trigger of somebody else's that is not chained."
  type        = bool
  default     = false
}

variable "keep_triggers" {
  description = "Whether a function puts the triggers back when somebody has taken them away. `user-sync triggers hold` stops it, for an incident."
  type        = bool
  default     = false

  validation {
    condition     = !var.keep_triggers || var.attach_triggers
    error_message = "keep_triggers must be false with attach_triggers = false: who sets the triggers keeps them."
  }
}

variable "sms_role_arn" {
  description = "The role with which the pool sends SMS, if it does: Cognito asks whoever updates such a pool for the right to pass it on."
  type        = string
  default     = null

  validation {
    condition     = var.sms_role_arn == null || can(regex("^arn:[^:]+:iam::[0-9]{12}:role/", var.sms_role_arn))
    error_message = "sms_role_arn must be the ARN of a role."
  }
}

variable "sender_key_arn" {
  description = "The key of the pool's custom e-mail or SMS sender, if it has one: Cognito makes a grant on it for whoever updates such a pool."
  type        = string
  default     = null

  validation {
    condition     = var.sender_key_arn == null || can(regex("^arn:[^:]+:kms:.+:key/", var.sender_key_arn))
    error_message = "sender_key_arn must be the ARN of a key, and not of an alias."
  }
}

variable "client_metadata_keys" {
  description = "The names under which your clients send ClientMetadata, where they are not ip, user_agent, device, location and referral_code."
  type = object({
    ip            = optional(string, "ip")
    user_agent    = optional(string, "user_agent")
    device        = optional(string, "device")
    location      = optional(string, "location")
    referral_code = optional(string, "referral_code")
  })
  default = {}

  validation {
    condition     = alltrue([for key in values(var.client_metadata_keys) : can(regex("^[^,=[:space:]]+$", key))])
    error_message = "client_metadata_keys must be names without commas, equals signs and blanks."
  }
}

variable "referral_code_attribute" {
  description = "The user attribute that has the referral code of a sign-up, such as custom:referral_code, where its ClientMetadata has none."
  type        = string
  default     = null

  validation {
    condition     = var.referral_code_attribute == null || can(regex("^[^[:space:][:cntrl:]]{1,128}$", var.referral_code_attribute))
    error_message = "referral_code_attribute must be an attribute's name, such as custom:referral_code."
  }
}

variable "follow_lifecycle" {
  description = "Whether users whom an administrator creates, changes, disables or deletes are followed by CloudTrail's events. Needs a trail of management events."
  type        = bool
  default     = true
}

variable "lifecycle_concurrency" {
  description = "Most instances of the lifecycle function at once, as its reserved concurrency; null is as many as Lambda runs."
  type        = number
  default     = null

  validation {
    condition     = var.lifecycle_concurrency == null || try(var.lifecycle_concurrency >= 1 && var.lifecycle_concurrency <= 100 && floor(var.lifecycle_concurrency) == var.lifecycle_concurrency, false)
    error_message = "lifecycle_concurrency must be a whole number from 1 to 100."
  }
}

variable "heartbeat_interval_seconds" {
  description = "How often a heartbeat is sent, and the triggers are looked at."
  type        = number
  default     = 300

  validation {
    condition     = var.heartbeat_interval_seconds >= 60 && var.heartbeat_interval_seconds <= 3600 && var.heartbeat_interval_seconds % 60 == 0
    error_message = "heartbeat_interval_seconds must be whole minutes from 60 to 3600."
  }
}

variable "drift_interval_seconds" {
  description = "How often the whole pool is compared with the table; 0 is never."
  type        = number
  default     = 86400

  validation {
    condition     = var.drift_interval_seconds == 0 || (var.drift_interval_seconds >= 3600 && var.drift_interval_seconds <= 259200 && var.drift_interval_seconds % 60 == 0)
    error_message = "drift_interval_seconds must be 0, or whole minutes from 3600 to 259200."
  }
}

variable "login_context" {
  description = "What else says where logins came from: CloudTrail's records (needs a trail of management events); threat protection's, in the log group that Cognito delivers userAuthEvents to (needs the Plus plan). clients: the app clients that people's own devices use; without, those that have no secret."
  type = object({
    cloudtrail     = optional(bool, false)
    log_group_name = optional(string)
    clients        = optional(list(string))
  })
  default = {}

  validation {
    condition     = var.login_context.clients == null || try(length(var.login_context.clients) > 0 && alltrue([for id in var.login_context.clients : can(regex("^[[:word:]+]{1,128}$", id))]), false)
    error_message = "login_context.clients must be one client id at least, or left out for the clients without a secret."
  }

  validation {
    condition     = var.login_context.clients == null || var.login_context.cloudtrail || var.login_context.log_group_name != null
    error_message = "login_context.clients must go with cloudtrail = true or a log_group_name: there is nothing to read else."
  }
}

variable "context_queue" {
  description = "Whether there is a queue of contexts without any source in login_context, for a backend that knows where its users are."
  type        = bool
  default     = false
}

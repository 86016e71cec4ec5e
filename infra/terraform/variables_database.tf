# The database.

variable "schema" {
  description = "The PostgreSQL schema that holds the tables. One user pool a schema is the way for several pools in one database."
  type        = string
  default     = "public"

  validation {
    condition     = length(var.schema) >= 1 && length(base64encode(var.schema)) <= 84 && !startswith(var.schema, "pg_") && var.schema != "information_schema"
    error_message = "schema must be 1 to 63 bytes, and not one of PostgreSQL's own (pg_…, information_schema)."
  }
}

variable "role_prefix" {
  description = "The prefix of the group roles <prefix>_owner, <prefix>_consumer, <prefix>_app and <prefix>_reader. Roles belong to the whole server: two deployments on one server need two."
  type        = string
  default     = "user_sync"

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_]{0,47}$", var.role_prefix)) && !startswith(var.role_prefix, "pg_")
    error_message = "role_prefix must be 1 to 48 lower-case letters, digits or _, beginning with a letter or _, and not with pg_."
  }
}

variable "database_auth" {
  description = "How the consumer and the reader log in: iam, with a token made from the function's role, or secret, with consumer_secret_arn and reader_secret_arn."
  type        = string
  default     = "iam"

  validation {
    condition     = contains(["iam", "secret"], var.database_auth)
    error_message = "database_auth must be iam or secret."
  }
}

variable "consumer_user" {
  description = "The consumer's login; null is <role_prefix>_consumer_login. With secrets, their `username`."
  type        = string
  default     = null

  validation {
    condition     = var.consumer_user == null || can(regex("^[A-Za-z_][A-Za-z0-9_-]{0,62}$", var.consumer_user))
    error_message = "consumer_user must be 1 to 63 letters, digits, _ or -, beginning with a letter or _."
  }
}

variable "reader_user" {
  description = "The login of what only reads; null is <role_prefix>_reader_login. With secrets, their `username`."
  type        = string
  default     = null

  validation {
    condition     = var.reader_user == null || can(regex("^[A-Za-z_][A-Za-z0-9_-]{0,62}$", var.reader_user))
    error_message = "reader_user must be 1 to 63 letters, digits, _ or -, beginning with a letter or _."
  }
}

variable "consumer_secret_arn" {
  description = "The complete ARN of the consumer's credentials, in RDS's JSON form, with database_auth = \"secret\"."
  type        = string
  default     = null

  validation {
    condition     = (var.database_auth == "secret") == (var.consumer_secret_arn != null)
    error_message = "consumer_secret_arn must be given with database_auth = \"secret\", and left out with \"iam\"."
  }
}

variable "reader_secret_arn" {
  description = "The complete ARN of the reader's credentials, in RDS's JSON form, with database_auth = \"secret\"."
  type        = string
  default     = null

  validation {
    condition     = (var.database_auth == "secret") == (var.reader_secret_arn != null)
    error_message = "reader_secret_arn must be given with database_auth = \"secret\", and left out with \"iam\"."
  }
}

variable "migrations" {
  description = "Whether an apply migrates the database, before the consumer's new code runs, and the ledger is maintained daily."
  type        = bool
  default     = true
}

variable "ledger_retention_days" {
  description = "For how many days logins stay in the ledger one by one; older ones are folded into the baseline, and stay counted."
  type        = number
  default     = 400

  validation {
    condition     = var.ledger_retention_days >= 31 && var.ledger_retention_days <= 3650 && floor(var.ledger_retention_days) == var.ledger_retention_days
    error_message = "ledger_retention_days must be a whole number from 31 to 3650."
  }
}

variable "record_retention_days" {
  description = "For how many days contexts of logins and failed sign-ins stay in the ledger one by one."
  type        = number
  default     = 400

  validation {
    condition     = var.record_retention_days >= 31 && var.record_retention_days <= 3650 && floor(var.record_retention_days) == var.record_retention_days
    error_message = "record_retention_days must be a whole number from 31 to 3650."
  }

  validation {
    condition     = var.migrations || var.record_retention_days == 400
    error_message = "record_retention_days must be left out with migrations = false: set USER_SYNC_RECORD_RETENTION_DAYS where you run `user-sync maintain`."
  }
}

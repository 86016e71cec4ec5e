# What is there.

variable "user_pool_id" {
  description = "The user pool whose users become rows, of the provider's account and Region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+_[A-Za-z0-9]+$", var.user_pool_id))
    error_message = "user_pool_id must be the id of a user pool, such as eu-west-1_Abc123Def."
  }

  validation {
    condition     = startswith(var.user_pool_id, "${data.aws_region.this.region}_")
    error_message = "user_pool_id must be of the provider's Region, which its id begins with: give the module a provider of the pool's Region."
  }
}

variable "vpc_id" {
  description = "The VPC from which the database can be reached."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "The subnets of what connects to the database. They need a way to SQS, and to Secrets Manager for migrations and for secrets: a NAT gateway, or `endpoints`. A public subnet is none: Lambda's functions have no public address."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "subnet_ids must be one id of a subnet at least, such as [\"subnet-0123456789abcdef0\"]."
  }
}

variable "database_host" {
  description = "The host name of the PostgreSQL, 14 or newer, as its certificate has it."
  type        = string
}

variable "database_port" {
  description = "Its port."
  type        = number
  default     = 5432

  validation {
    condition     = var.database_port >= 1 && var.database_port <= 65535 && floor(var.database_port) == var.database_port
    error_message = "database_port must be a whole number from 1 to 65535."
  }
}

variable "database_name" {
  description = "The name of the database on it, which must be there."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z_][A-Za-z0-9_-]{0,62}$", var.database_name))
    error_message = "database_name must be 1 to 63 letters, digits, _ or -, beginning with a letter or _."
  }
}

variable "database_resource_id" {
  description = "Its resource id (db-…, cluster-…), which IAM authentication is granted by."
  type        = string
  default     = null

  validation {
    condition     = var.database_auth != "iam" || var.database_resource_id != null
    error_message = "database_resource_id must be given with database_auth = \"iam\", which is granted by it: `aws rds describe-db-instances --query 'DBInstances[].DbiResourceId'`; or set database_auth = \"secret\"."
  }

  validation {
    condition     = var.database_resource_id == null || can(regex("^(db|cluster)-[A-Z0-9]+$", var.database_resource_id))
    error_message = "database_resource_id must be the resource id of an instance or a cluster, such as db-ABCDEFGHIJKL: neither its name nor its ARN. A proxy cannot be the database here."
  }
}

variable "database_security_group_id" {
  description = "Its security group, which is opened to those who connect. Without, open it to the output security_group_id."
  type        = string
  default     = null

  validation {
    condition     = var.database_security_group_id == null || can(regex("^sg-", var.database_security_group_id))
    error_message = "database_security_group_id must be the id of a security group, such as sg-0123456789abcdef0."
  }
}

variable "admin_secret_arn" {
  description = "The complete ARN of the owner's credentials, in RDS's JSON form. Only the migrator is given them."
  type        = string
  default     = null

  validation {
    condition     = !var.migrations || var.admin_secret_arn != null
    error_message = "admin_secret_arn must be given, since migrations need the owner's credentials; or set migrations = false, run `user-sync migrate` before an apply and `user-sync maintain` daily."
  }

  validation {
    condition     = var.admin_secret_arn == null || can(regex("^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:.+$", var.admin_secret_arn))
    error_message = "admin_secret_arn must be the complete ARN of a secret, arn:aws:secretsmanager:…:secret:…."
  }
}

variable "certificate_authorities" {
  description = "The path of a PEM file with the authorities that the database's certificate is checked against. Amazon RDS's: global-bundle.pem, or the Region's (\"Certificate bundles by AWS Region\", Amazon RDS User Guide)."
  type        = string

  validation {
    condition     = fileexists(var.certificate_authorities)
    error_message = "certificate_authorities must be the path of a file that is there: curl -O https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
  }
}

# What is deployed.

variable "name" {
  description = "What the names of all resources begin with. Two modules in one account and Region need two."
  type        = string
  default     = "user-sync"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,23}$", var.name))
    error_message = "name must be 1 to 24 lower-case letters, digits or -, beginning with a letter."
  }
}

variable "code" {
  description = "The folder of the built programs, as `make lambda` leaves it: lambda/<program>/bootstrap, or lambda-arm64/…."
  type        = string
  default     = null

  validation {
    condition     = fileexists("${coalesce(var.code, "${path.module}/../../dist")}/${var.architecture == "arm64" ? "lambda-arm64" : "lambda"}/user-sync-trigger/bootstrap")
    error_message = "code must be a folder in which the programs are built for this architecture: run `make lambda` first, or say with code where its dist/ is."
  }
}

variable "architecture" {
  description = "What the programs were built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "deployment" {
  description = "Any text: when it changes, the triggers are set again, and the deployment is checked again. timestamp() does so at each apply."
  type        = string
  default     = null
}

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

# The consumer.

variable "memory_size" {
  description = "Memory of the consumer function in MiB."
  type        = number
  default     = 512

  validation {
    condition     = var.memory_size >= 128 && var.memory_size <= 10240 && floor(var.memory_size) == var.memory_size
    error_message = "memory_size must be a whole number from 128 to 10240."
  }
}

variable "max_concurrency" {
  description = "Most consumer functions at once. Each takes one connection, so this bounds the database's."
  type        = number
  default     = 4

  validation {
    condition     = var.max_concurrency >= 2 && var.max_concurrency <= 1000 && floor(var.max_concurrency) == var.max_concurrency
    error_message = "max_concurrency must be a whole number from 2 to 1000."
  }
}

variable "batch_size" {
  description = "Most messages that are applied in one transaction."
  type        = number
  default     = 1000

  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 10000 && floor(var.batch_size) == var.batch_size
    error_message = "batch_size must be a whole number from 1 to 10000."
  }
}

variable "max_batching_window_seconds" {
  description = "How long Lambda gathers a batch."
  type        = number
  default     = 1

  validation {
    condition     = var.max_batching_window_seconds >= 0 && var.max_batching_window_seconds <= 300 && floor(var.max_batching_window_seconds) == var.max_batching_window_seconds
    error_message = "max_batching_window_seconds must be a whole number from 0 to 300."
  }

  # "Batching behavior", AWS Lambda Developer Guide.
  validation {
    condition     = var.batch_size <= 10 || var.max_batching_window_seconds >= 1
    error_message = "max_batching_window_seconds must be 1 at least, since batch_size is above 10."
  }
}

variable "max_receive_count" {
  description = "How often a message is received before it is given up as a dead letter. Lambda goes on receiving while the database is unavailable: 1000 outlast about ten days."
  type        = number
  default     = 1000

  validation {
    condition     = var.max_receive_count >= 1 && var.max_receive_count <= 1000 && floor(var.max_receive_count) == var.max_receive_count
    error_message = "max_receive_count must be a whole number from 1 to 1000."
  }
}

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

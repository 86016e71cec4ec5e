# Migrates the database and makes the logins, before the consumer's new code runs; maintains the ledger daily. The only function
# with the owner's credentials.

locals {
  # Not said where it is the default: a schema that has another one keeps it.
  schema_name = var.schema == "public" ? null : var.schema
  role_prefix = var.role_prefix == "user_sync" ? null : var.role_prefix

  schema_properties = { for name, value in {
    Auth              = var.database_auth
    ConsumerUser      = local.consumer_user
    ConsumerSecretArn = local.uses_secrets ? var.consumer_secret_arn : null
    ReaderUser        = local.reader_user
    ReaderSecretArn   = local.uses_secrets ? var.reader_secret_arn : null
    # Another schema or prefix is migrated at once, not with the next build.
    Schema     = local.schema_name
    RolePrefix = local.role_prefix
    Code       = local.packages["user-sync-operator"].hash
  } : name => value if value != null }
}

module "migrator" {
  source = "./modules/function"
  count  = var.migrations ? 1 : 0

  name         = "${var.name}-migrator"
  description  = "Migrates the database when the module is applied, and maintains the ledger daily"
  account      = local.account
  package      = local.packages["user-sync-operator"]
  architecture = var.architecture
  timeout      = 840
  memory_size  = 512
  environment = merge(local.log_all, local.schema, {
    USER_SYNC_OPERATION             = "schema"
    USER_SYNC_DATABASE_AUTH         = "secret"
    USER_SYNC_DATABASE_SECRET_ARN   = var.admin_secret_arn
    DATABASE_URL                    = "postgres://${local.database_at}"
    USER_SYNC_ROLE_PREFIX           = local.role_prefix
    USER_SYNC_RECORD_RETENTION_DAYS = var.record_retention_days == 400 ? null : tostring(var.record_retention_days)
    # The logins that it makes, whatever it is asked.
    USER_SYNC_LOGINS_AUTH         = var.database_auth
    USER_SYNC_CONSUMER_LOGIN      = local.consumer_user
    USER_SYNC_READER_LOGIN        = local.reader_user
    USER_SYNC_CONSUMER_SECRET_ARN = local.uses_secrets ? var.consumer_secret_arn : null
    USER_SYNC_READER_SECRET_ARN   = local.uses_secrets ? var.reader_secret_arn : null
  })
  statements = [for secret in concat(var.admin_secret_arn[*], local.uses_secrets ? compact(values(local.secrets)) : []) : {
    Effect   = "Allow"
    Action   = local.reads_secret
    Resource = secret
  }]
  network = local.network
  layers  = [aws_lambda_layer_version.certificates.arn]
  log     = local.log
  tracing = var.tracing
}

# Whatever changes in the input is migrated: the provider replaces the invocation.
resource "aws_lambda_invocation" "schema" {
  count = var.migrations ? 1 : 0

  function_name = module.migrator[0].name
  input = jsonencode({
    RequestType        = "Create"
    ResourceProperties = local.schema_properties
  })

  depends_on = [module.migrator, local.reachable]
}

module "maintenance" {
  source = "./modules/rule"
  count  = var.migrations ? 1 : 0

  name                = "${var.name}-maintenance"
  description         = "Keeps the ledger's months"
  schedule_expression = "rate(1 day)"
  targets = { migrator = {
    arn   = module.migrator[0].arn
    input = jsonencode({ maintain = { retentionDays = var.ledger_retention_days, monthsAhead = 3 } })
  } }
}

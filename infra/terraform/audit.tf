# Compares the logins with what AWS recorded, every hour: the witness of the promise that every login is counted.

locals {
  # There is no way to Systems Manager where there are only the endpoints.
  audit_parameters = [for parameter in aws_ssm_parameter.triggers : parameter if length(local.endpoints) == 0]
}

module "audit" {
  source = "./modules/function"
  count  = local.has_sources ? 1 : 0

  name         = "${var.name}-audit"
  description  = "Compares the logins of a day with the sign-ins that AWS recorded, and changes neither"
  account      = local.account
  package      = local.packages["user-sync-operator"]
  architecture = var.architecture
  timeout      = 900
  memory_size  = 512
  environment = merge(local.log_all, local.login.reader.environment, {
    USER_SYNC_OPERATION          = "audit"
    USER_SYNC_USER_POOL_ID       = var.user_pool_id
    USER_SYNC_TRIGGERS_PARAMETER = one(local.audit_parameters[*].name)
  })
  statements = concat(
    [local.login.reader.statement],
    [for parameter in local.audit_parameters : { Effect = "Allow", Action = "ssm:GetParameter", Resource = parameter.arn }],
  )
  network = local.network
  layers  = [aws_lambda_layer_version.certificates.arn]
  log     = local.log
  tracing = var.tracing

  depends_on = [aws_lambda_invocation.schema]
}

resource "aws_lambda_function_event_invoke_config" "audit" {
  count = local.has_sources ? 1 : 0

  function_name = module.audit[0].name
  # The next hour's is as soon.
  maximum_retry_attempts = 0
}

module "audit_schedule" {
  source = "./modules/rule"
  count  = local.has_sources ? 1 : 0

  name                = "${var.name}-audit"
  description         = "Audits a day's logins"
  schedule_expression = "rate(1 hour)"
  targets             = { audit = { arn = module.audit[0].arn, input = jsonencode({ audit = true }) } }
}

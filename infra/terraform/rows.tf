# Answers what the drift check and the deployment check ask of the table: these run outside of the VPC, and this inside.

locals {
  has_drift = var.drift_interval_seconds > 0
  has_rows  = local.has_drift || var.deployment_check
}

module "rows" {
  source = "./modules/function"
  count  = local.has_rows ? 1 : 0

  name         = "${var.name}-rows"
  description  = "Answers what is asked of the table from outside of the VPC, and changes nothing"
  account      = local.account
  package      = local.packages["user-sync-operator"]
  architecture = var.architecture
  timeout      = 60
  memory_size  = 512
  environment  = merge(local.log_all, local.login.reader.environment, { USER_SYNC_OPERATION = "rows" })
  statements   = [local.login.reader.statement]
  network      = local.network
  layers       = [aws_lambda_layer_version.certificates.arn]
  log          = local.log
  tracing      = var.tracing

  depends_on = [aws_lambda_invocation.schema]
}

# Puts the pool's triggers back when somebody has taken them away, with keep_triggers; and tells whoever looks.

module "keeper" {
  source = "./modules/function"
  count  = var.keep_triggers ? 1 : 0

  name         = "${var.name}-trigger-keeper"
  description  = "Puts back the user pool's two triggers when somebody has taken them away"
  account      = local.account
  package      = local.packages["user-sync-operator"]
  architecture = var.architecture
  timeout      = 180
  memory_size  = 256
  environment = merge(local.log_all, local.attachment, {
    USER_SYNC_OPERATION          = "keep-triggers"
    USER_SYNC_KEEP_TRIGGERS      = "true"
    USER_SYNC_TRIGGERS_PARAMETER = aws_ssm_parameter.triggers[0].name
  })
  statements = concat(local.updates_pool, [{
    Effect   = "Allow"
    Action   = ["ssm:GetParameter", "ssm:PutParameter"]
    Resource = aws_ssm_parameter.triggers[0].arn
  }])
  log     = local.log
  tracing = var.tracing
}

resource "aws_lambda_function_event_invoke_config" "keeper" {
  count = var.keep_triggers ? 1 : 0

  function_name = module.keeper[0].name
  # After a minute; then the schedule is as soon.
  maximum_retry_attempts = 1
}

# The hold, the attempts and the gaps, which people and the function write. All of the keeper waits for it, and it waits for the
# triggers: so the keeper is gone before they are taken away.
resource "aws_ssm_parameter" "triggers" {
  count = var.keep_triggers ? 1 : 0

  name        = "${var.name}-triggers"
  description = "Whether the user pool's triggers are put back, and when they were missing (user-sync triggers)"
  type        = "String"
  value       = "{}"

  # Writing it again would end a hold.
  lifecycle {
    ignore_changes = [value]
  }

  depends_on = [aws_lambda_invocation.pool_triggers]
}

# Tells of every change of the pool itself, so that nobody waits for the next heartbeat to look.
module "pool_changes" {
  source = "./modules/rule"
  count  = var.attach_triggers ? 1 : 0

  name        = "${var.name}-pool-changes"
  description = "Changes of the user pool's settings, which may have taken its triggers away"
  event_pattern = jsonencode({
    source        = ["aws.cognito-idp"]
    "detail-type" = ["AWS API Call via CloudTrail"]
    detail = {
      eventSource       = ["cognito-idp.amazonaws.com"]
      eventName         = ["UpdateUserPool", "CreateUserPoolReplica", "UpdateUserPoolReplica", "DeleteUserPoolReplica"]
      requestParameters = { userPoolId = [var.user_pool_id] }
    }
  })
  targets = merge(
    { lifecycle = { arn = module.lifecycle.arn, dead_letter_arn = aws_sqs_queue.lifecycle_failures.arn } },
    { for keeper in module.keeper : "keeper" => { arn = keeper.arn } },
  )

  depends_on = [aws_lambda_invocation.pool_triggers]
}

module "keep_schedule" {
  source = "./modules/rule"
  count  = var.keep_triggers ? 1 : 0

  name                = "${var.name}-keep"
  description         = "Looks whether the user pool calls the trigger"
  schedule_expression = "rate(5 minutes)"
  targets             = { keeper = { arn = module.keeper[0].arn, input = jsonencode({ keep = true }) } }
}

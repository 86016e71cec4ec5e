# Sends heartbeats, looks whether the pool calls the trigger, and follows users beside sign-ins by CloudTrail's records.

locals {
  every_heartbeat = var.heartbeat_interval_seconds == 60 ? "rate(1 minute)" : (
    var.heartbeat_interval_seconds == 3600 ? "rate(1 hour)" : "rate(${var.heartbeat_interval_seconds / 60} minutes)"
  )

  # The operations that change what the pool says of a user or a group, as docs/operating.md has them.
  lifecycle_operations = [
    "AdminCreateUser",
    "SignUp",
    "AdminConfirmSignUp",
    "ConfirmSignUp",
    "AdminUpdateUserAttributes",
    "UpdateUserAttributes",
    "AdminDeleteUserAttributes",
    "DeleteUserAttributes",
    "VerifyUserAttribute",
    "AdminDisableUser",
    "AdminEnableUser",
    "AdminSetUserPassword",
    "AdminResetUserPassword",
    "ConfirmForgotPassword",
    "AdminLinkProviderForUser",
    "AdminDisableProviderForUser",
    "AdminDeleteUser",
    "DeleteUser",
    "AdminAddUserToGroup",
    "AdminRemoveUserFromGroup",
    "DeleteGroup",
  ]

  # A call with an access token names a client, and no pool.
  lifecycle_asks = concat(
    var.attach_triggers ? ["cognito-idp:DescribeUserPool"] : [],
    var.follow_lifecycle ? ["cognito-idp:ListUsers", "cognito-idp:ListUserPoolClients"] : [],
  )
}

module "lifecycle" {
  source = "./modules/function"

  name         = "${var.name}-lifecycle"
  description  = "Sends heartbeats, and what happens to users beside sign-ins"
  account      = local.account
  package      = local.packages["user-sync-lifecycle"]
  architecture = var.architecture
  # 20 s to read the user, 10 s to publish.
  timeout                        = 45
  memory_size                    = 256
  reserved_concurrent_executions = coalesce(var.lifecycle_concurrency, -1)
  environment = merge(local.log_all, {
    USER_SYNC_QUEUE_URL    = module.queues.queue.url
    USER_SYNC_USER_POOL_ID = var.user_pool_id
    USER_SYNC_TRIGGER_ARN  = var.attach_triggers ? module.trigger.arn : null
  })
  statements = concat(
    [
      { Effect = "Allow", Action = "sqs:SendMessage", Resource = module.queues.queue.arn },
      { Effect = "Allow", Action = "sqs:SendMessage", Resource = aws_sqs_queue.lifecycle_failures.arn },
    ],
    local.sends_with_key,
    [for statement in [{ Effect = "Allow", Action = local.lifecycle_asks, Resource = local.arn_of.user_pool }] :
    statement if length(local.lifecycle_asks) > 0],
  )
  log     = local.log
  tracing = var.tracing

  # Consumers know its new types of events before it sends any.
  depends_on = [module.consumer]
}

resource "aws_lambda_function_event_invoke_config" "lifecycle" {
  function_name = module.lifecycle.name

  destination_config {
    on_failure {
      destination = aws_sqs_queue.lifecycle_failures.arn
    }
  }
}

# What Lambda and EventBridge could not hand over. No key: EventBridge could not use it. What comes here has no attributes,
# which CloudTrail hides.
resource "aws_sqs_queue" "lifecycle_failures" {
  name                      = "${var.name}-lifecycle-failures"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "lifecycle_failures" {
  queue_url = aws_sqs_queue.lifecycle_failures.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.lifecycle_failures.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }], [for rule in concat(module.lifecycle_rule[*].arn, module.pool_changes[*].arn) : {
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.lifecycle_failures.arn
      Condition = { ArnEquals = { "aws:SourceArn" = rule } }
    }])
  })
}

module "lifecycle_rule" {
  source = "./modules/rule"
  count  = var.follow_lifecycle ? 1 : 0

  name        = "${var.name}-lifecycle"
  description = "What happens to the user pool's users beside sign-ins"
  event_pattern = jsonencode({
    source        = ["aws.cognito-idp"]
    "detail-type" = ["AWS API Call via CloudTrail"]
    detail        = { eventSource = ["cognito-idp.amazonaws.com"], eventName = local.lifecycle_operations }
  })
  targets = { lifecycle = { arn = module.lifecycle.arn, dead_letter_arn = aws_sqs_queue.lifecycle_failures.arn } }
}

# Not before the triggers are there: the first look would find a pool without, and call for help.
module "heartbeat" {
  source = "./modules/rule"

  name                = "${var.name}-heartbeat"
  description         = "Heartbeats through queue and consumer into the database"
  schedule_expression = local.every_heartbeat
  targets             = { lifecycle = { arn = module.lifecycle.arn, input = jsonencode({ heartbeat = true }) } }

  depends_on = [aws_lambda_invocation.pool_triggers]
}

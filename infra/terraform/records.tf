# Makes contexts of logins, and failed sign-ins, of AWS's own records: CloudTrail's, by way of a queue, and threat protection's,
# from a log group.

locals {
  has_trail   = var.login_context.cloudtrail
  has_threats = var.login_context.log_group_name != null
  # 20 s to learn of the clients, 30 s to publish what a batch makes.
  records_timeout = 60

  # CloudTrail's records name a client, and no pool; and whose a client is decides whose the address is.
  records_asks = concat(
    local.has_trail ? ["cognito-idp:ListUserPoolClients"] : [],
    var.login_context.clients == null ? ["cognito-idp:DescribeUserPoolClient"] : [],
  )
  threats_log_group_arn = local.has_threats ? "arn:${local.account.partition}:logs:${local.account.region}:${local.account.id}:log-group:${var.login_context.log_group_name}:*" : null
}

module "records" {
  source = "./modules/function"
  count  = local.has_sources ? 1 : 0

  name         = "${var.name}-records"
  description  = "Makes contexts of logins, and failed sign-ins, of AWS's own records"
  account      = local.account
  package      = local.packages["user-sync-lifecycle"]
  architecture = var.architecture
  timeout      = local.records_timeout
  memory_size  = 256
  environment = merge(local.log_all, {
    USER_SYNC_CONTEXT_QUEUE_URL = module.context_queues[0].queue.url
    USER_SYNC_USER_POOL_ID      = var.user_pool_id
    USER_SYNC_CONTEXT_CLIENTS   = var.login_context.clients == null ? null : join(",", var.login_context.clients)
  })
  statements = concat(
    [
      { Effect = "Allow", Action = "sqs:SendMessage", Resource = aws_sqs_queue.record_failures[0].arn },
      { Effect = "Allow", Action = "sqs:SendMessage", Resource = module.context_queues[0].queue.arn },
    ],
    local.sends_with_key,
    [for statement in [{ Effect = "Allow", Action = local.records_asks, Resource = local.arn_of.user_pool }] :
    statement if length(local.records_asks) > 0],
    [for queues in module.raw_records : { Effect = "Allow", Action = local.consumes, Resource = queues.queue.arn }],
  )
  log     = local.log
  tracing = var.tracing

  # Consumers know its types of events before it sends any.
  depends_on = [module.consumer]
}

# CloudWatch Logs invokes it asynchronously.
resource "aws_lambda_function_event_invoke_config" "records" {
  count = local.has_sources ? 1 : 0

  function_name = module.records[0].name

  destination_config {
    on_failure {
      destination = aws_sqs_queue.record_failures[0].arn
    }
  }
}

# What EventBridge and Lambda could not hand over.
resource "aws_sqs_queue" "record_failures" {
  count = local.has_sources ? 1 : 0

  name                      = "${var.name}-record-failures"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "record_failures" {
  count = local.has_sources ? 1 : 0

  queue_url = aws_sqs_queue.record_failures[0].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Effect    = "Deny"
      Principal = { AWS = "*" }
      Action    = "sqs:*"
      Resource  = aws_sqs_queue.record_failures[0].arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }], [for rule in aws_cloudwatch_event_rule.sign_ins : {
      Sid       = "EventBridge"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.record_failures[0].arn
      Condition = { ArnEquals = { "aws:SourceArn" = rule.arn } }
    }])
  })
}

# CloudTrail's records as they are: EventBridge invokes a function for each, and a queue hands over a thousand at once.
module "raw_records" {
  source = "./modules/queues"
  count  = local.has_trail ? 1 : 0

  name                       = "${var.name}-raw-records"
  visibility_timeout_seconds = 6 * local.records_timeout + local.records_window
  # Five minutes apart, this is the better part of a working day in which somebody can mend what fails.
  max_receive_count = 100
  kms_key_arn       = var.encryption_key_arn
  queue_statements = [for rule in aws_cloudwatch_event_rule.sign_ins : {
    Sid       = "EventBridge"
    Effect    = "Allow"
    Principal = { Service = "events.amazonaws.com" }
    Action    = "sqs:SendMessage"
    Resource  = module.raw_records[0].queue.arn
    Condition = { ArnEquals = { "aws:SourceArn" = rule.arn } }
  }]
}

resource "aws_cloudwatch_event_rule" "sign_ins" {
  count = local.has_trail ? 1 : 0

  name        = "${var.name}-sign-ins"
  description = "Sign-ins and sign-ups, as CloudTrail records them"
  event_pattern = jsonencode({
    source        = ["aws.cognito-idp"]
    "detail-type" = ["AWS API Call via CloudTrail"]
    detail = {
      eventSource = ["cognito-idp.amazonaws.com"]
      eventName = [
        "InitiateAuth",
        "RespondToAuthChallenge",
        "AdminInitiateAuth",
        "AdminRespondToAuthChallenge",
        "SignUp",
        "ConfirmSignUp",
      ]
      # Refreshes are no sign-in, and the bulk of all calls.
      requestParameters = { authFlow = [{ exists = false }, { "anything-but" = ["REFRESH_TOKEN", "REFRESH_TOKEN_AUTH"] }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "sign_ins" {
  count = local.has_trail ? 1 : 0

  rule      = aws_cloudwatch_event_rule.sign_ins[0].name
  target_id = "raw-records"
  arn       = module.raw_records[0].queue.arn

  dead_letter_config {
    arn = aws_sqs_queue.record_failures[0].arn
  }
}

resource "aws_lambda_event_source_mapping" "raw_records" {
  count = local.has_trail ? 1 : 0

  function_name    = module.records[0].arn
  event_source_arn = module.raw_records[0].queue.arn
  # Some 3 KB each, and Lambda takes 6 MB.
  batch_size                         = 1000
  maximum_batching_window_in_seconds = local.records_window
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = local.records_concurrency
  }
}

resource "aws_lambda_permission" "user_auth_events" {
  count = local.has_threats ? 1 : 0

  statement_id   = "user-auth-events"
  action         = "lambda:InvokeFunction"
  function_name  = module.records[0].arn
  principal      = "logs.amazonaws.com"
  source_arn     = local.threats_log_group_arn
  source_account = local.account.id
}

resource "aws_cloudwatch_log_subscription_filter" "user_auth_events" {
  count = local.has_threats ? 1 : 0

  name            = "${var.name}-user-auth-events"
  log_group_name  = var.login_context.log_group_name
  destination_arn = module.records[0].arn
  # Records of other kinds the function leaves out.
  filter_pattern = ""

  depends_on = [aws_lambda_permission.user_auth_events]
}

# Applies events from the queue to the database, each exactly once.

locals {
  # The pairs of queues that it consumes.
  consumed = concat([module.queues], module.context_queues)
  consumes = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
}

module "consumer" {
  source = "./modules/function"

  name         = "${var.name}-consumer"
  description  = "Applies events from the queue to the database, each exactly once"
  account      = local.account
  package      = local.packages["user-sync-consumer"]
  architecture = var.architecture
  timeout      = local.consumer_timeout
  memory_size  = var.memory_size
  environment = merge(local.log_all, local.login.consumer.environment, local.context_environment, {
    USER_SYNC_QUEUE_URL    = module.queues.queue.url
    USER_SYNC_DLQ_URL      = module.queues.dead_letters.url
    USER_SYNC_USER_POOL_ID = var.user_pool_id
  })
  statements = concat(
    [local.login.consumer.statement],
    [for queues in local.consumed : { Effect = "Allow", Action = local.consumes, Resource = queues.queue.arn }],
    [for queues in local.consumed : { Effect = "Allow", Action = "sqs:SendMessage", Resource = queues.dead_letters.arn }],
    local.sends_with_key,
  )
  network = local.network
  layers  = [aws_lambda_layer_version.certificates.arn]
  log     = local.log
  tracing = var.tracing

  # The tables are those that its code knows, before it runs.
  depends_on = [aws_lambda_invocation.schema]
}

resource "aws_lambda_event_source_mapping" "queue" {
  function_name                      = module.consumer.arn
  event_source_arn                   = module.queues.queue.arn
  batch_size                         = var.batch_size
  maximum_batching_window_in_seconds = var.max_batching_window_seconds
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.max_concurrency
  }
}

# The queue of records: where logins came from, and the sign-ins that failed. No flood there delays a sign-in.

locals {
  has_sources  = var.login_context.cloudtrail || var.login_context.log_group_name != null
  has_contexts = local.has_sources || var.context_queue

  # How long Lambda gathers records: they come minutes late as it is, and more at once cost less.
  records_window = 5
  # Most functions at once that apply records: the least that Lambda takes.
  records_concurrency = 2

  context_environment = { for name, kind in { USER_SYNC_CONTEXT_QUEUE_URL = "queue", USER_SYNC_CONTEXT_DLQ_URL = "dead_letters" } :
    name => one(module.context_queues[*][kind].url) if local.has_contexts
  }
}

module "context_queues" {
  source = "./modules/queues"
  count  = local.has_contexts ? 1 : 0

  name                       = "${var.name}-contexts"
  visibility_timeout_seconds = 6 * local.consumer_timeout + local.records_window
  max_receive_count          = var.max_receive_count
  kms_key_arn                = var.encryption_key_arn
}

resource "aws_lambda_event_source_mapping" "contexts" {
  count = local.has_contexts ? 1 : 0

  function_name                      = module.consumer.arn
  event_source_arn                   = module.context_queues[0].queue.arn
  batch_size                         = var.batch_size
  maximum_batching_window_in_seconds = local.records_window
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = local.records_concurrency
  }
}

# The last step, with deployment_check: an apply is green only if a heartbeat has come through to the database.

module "deployment_check" {
  source = "./modules/function"
  count  = var.deployment_check ? 1 : 0

  name         = "${var.name}-deployment-check"
  description  = "Sends a heartbeat when the module is applied, and waits until it is in the database"
  account      = local.account
  package      = local.packages["user-sync-operator"]
  architecture = var.architecture
  timeout      = 300
  memory_size  = 256
  environment = merge(local.log_all, {
    USER_SYNC_OPERATION          = "deployment-check"
    USER_SYNC_QUEUE_URL          = module.queues.queue.url
    USER_SYNC_DLQ_URL            = module.queues.dead_letters.url
    USER_SYNC_ROWS_FUNCTION      = module.rows[0].name
    USER_SYNC_CONSUMER_LOG_GROUP = module.consumer.log_group_name
  })
  statements = concat(
    [
      { Effect = "Allow", Action = ["sqs:SendMessage", "sqs:GetQueueAttributes"], Resource = module.queues.queue.arn },
      { Effect = "Allow", Action = "sqs:GetQueueAttributes", Resource = module.queues.dead_letters.arn },
      { Effect = "Allow", Action = "lambda:InvokeFunction", Resource = module.rows[0].arn },
      { Effect = "Allow", Action = "logs:FilterLogEvents", Resource = "${module.consumer.log_group_arn}:*" },
    ],
    local.sends_with_key,
  )
  log     = local.log
  tracing = var.tracing
}

resource "aws_lambda_invocation" "deployment_check" {
  count = var.deployment_check ? 1 : 0

  function_name = module.deployment_check[0].name
  input         = jsonencode({ deploymentCheck = true })

  # Whatever of the consumer's way into the database changes is tried.
  triggers = {
    consumer   = local.packages["user-sync-consumer"].hash
    operator   = local.packages["user-sync-operator"].hash
    login      = sha256(jsonencode(local.login.consumer))
    network    = sha256(jsonencode(local.network))
    deployment = coalesce(var.deployment, "-")
  }

  depends_on = [
    module.deployment_check,
    module.consumer,
    module.rows,
    aws_lambda_event_source_mapping.queue,
    aws_sqs_queue_policy.lifecycle_failures,
    local.reachable,
  ]
}

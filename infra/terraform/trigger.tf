# The function behind both of the pool's triggers. It knows no database.

locals {
  # The functions that were the pool's triggers before, for the trigger and for the functions that set it.
  chains = {
    USER_SYNC_CHAIN_POST_CONFIRMATION   = var.chain_post_confirmation_arn
    USER_SYNC_CHAIN_POST_AUTHENTICATION = var.chain_post_authentication_arn
  }
  chained = distinct(compact(values(local.chains)))

  # The keys that differ from the documented ones.
  client_metadata_keys = [for meaning in ["ip", "user_agent", "device", "location", "referral_code"] :
    "${meaning}=${var.client_metadata_keys[meaning]}" if var.client_metadata_keys[meaning] != meaning
  ]
}

module "trigger" {
  source = "./modules/function"

  name         = "${var.name}-trigger"
  description  = "PostConfirmation and PostAuthentication of the user pool: each event onto the queue"
  account      = local.account
  package      = local.packages["user-sync-trigger"]
  architecture = var.architecture
  # Cognito waits no longer ("Customizing user pool workflows with Lambda triggers").
  timeout     = 5
  memory_size = 256
  environment = merge(local.log_all, local.chains, {
    USER_SYNC_QUEUE_URL               = module.queues.queue.url
    USER_SYNC_CLIENT_METADATA_KEYS    = length(local.client_metadata_keys) > 0 ? join(",", local.client_metadata_keys) : null
    USER_SYNC_REFERRAL_CODE_ATTRIBUTE = var.referral_code_attribute
  })
  statements = concat([{
    Effect   = "Allow"
    Action   = ["sqs:SendMessage", "sqs:GetQueueAttributes"]
    Resource = module.queues.queue.arn
    }], local.sends_with_key, [for statement in [{
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = local.chained
  }] : statement if length(local.chained) > 0])
  # What could not be sent is in the log: it outlives the module, and is encrypted as the queue is.
  log     = { retention_days = var.log_retention_days, kms_key_arn = var.encryption_key_arn, keep = true }
  tracing = var.tracing
  # Whoever sets the pool's triggers knows our own former function by it.
  tags = { "user-sync:program" = "trigger" }
}

resource "aws_lambda_permission" "trigger" {
  statement_id   = "user-pool-${var.user_pool_id}"
  action         = "lambda:InvokeFunction"
  function_name  = module.trigger.arn
  principal      = "cognito-idp.amazonaws.com"
  source_arn     = local.arn_of.user_pool
  source_account = local.account.id

  # A pool that calls a function that it may no longer call signs nobody in: the former permission goes last, and stays where
  # whatever comes in between fails.
  lifecycle {
    create_before_destroy = true
  }
}

# The queue between sign-ins and the database.

locals {
  # The longest that one batch may take.
  consumer_timeout = 60
}

module "queues" {
  source = "./modules/queues"

  name = var.name
  # "Configuring an Amazon SQS queue to use with Lambda": six times the timeout, and the window.
  visibility_timeout_seconds = 6 * local.consumer_timeout + var.max_batching_window_seconds
  max_receive_count          = var.max_receive_count
  kms_key_arn                = var.encryption_key_arn
}

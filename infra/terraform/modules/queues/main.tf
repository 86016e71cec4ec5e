# A queue and its dead-letter queue, each of which keeps messages for the longest that SQS does.

locals {
  # "Encryption at rest in Amazon SQS": SQS's own key, where no other is given.
  has_key = var.kms_key_arn != null

  # As CDK's enforceSSL.
  only_tls = { for name, arn in { queue = aws_sqs_queue.queue.arn, dead_letters = aws_sqs_queue.dead_letters.arn } : name => {
    Effect    = "Deny"
    Principal = { AWS = "*" }
    Action    = "sqs:*"
    Resource  = arn
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  } }
}

resource "aws_sqs_queue" "queue" {
  name                       = var.name
  visibility_timeout_seconds = var.visibility_timeout_seconds
  receive_wait_time_seconds  = 20
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = local.has_key ? null : true
  kms_master_key_id          = var.kms_key_arn

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.max_receive_count
  })

  # What is in it would be lost, also where another name replaces it.
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = local.has_key ? null : true
  kms_master_key_id         = var.kms_key_arn

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.url
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.queue.arn]
  })
}

resource "aws_sqs_queue_policy" "queue" {
  queue_url = aws_sqs_queue.queue.url
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.only_tls.queue], var.queue_statements)
  })
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.url
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [local.only_tls.dead_letters]
  })
}

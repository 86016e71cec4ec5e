# What all parts share: where they are, the programs, and what all functions have.

data "aws_partition" "this" {}

data "aws_region" "this" {}

data "aws_caller_identity" "this" {}

locals {
  account = {
    partition = data.aws_partition.this.partition
    region    = data.aws_region.this.region
    id        = data.aws_caller_identity.this.account_id
  }
  arn_of = {
    user_pool = "arn:${local.account.partition}:cognito-idp:${local.account.region}:${local.account.id}:userpool/${var.user_pool_id}"
    event_bus = "arn:${local.account.partition}:events:${local.account.region}:${local.account.id}:event-bus/default"
  }

  # What `make lambda` has left.
  code     = coalesce(var.code, "${path.module}/../../dist")
  folder   = var.architecture == "arm64" ? "lambda-arm64" : "lambda"
  programs = ["user-sync-trigger", "user-sync-consumer", "user-sync-lifecycle", "user-sync-operator"]
  packages = { for program, zip in data.archive_file.program :
    program => { filename = zip.output_path, hash = zip.output_base64sha256 }
  }

  log     = { retention_days = var.log_retention_days }
  log_all = { USER_SYNC_LOG = try(lower(var.log_level), null) }

  # "Key management", Amazon SQS Developer Guide: producers need both, consumers the second.
  sends_with_key = [for key in var.encryption_key_arn[*] : {
    Effect   = "Allow"
    Action   = ["kms:GenerateDataKey", "kms:Decrypt"]
    Resource = key
  }]
  receives_with_key = [for key in var.encryption_key_arn[*] : {
    Effect   = "Allow"
    Action   = "kms:Decrypt"
    Resource = key
  }]
}

data "archive_file" "program" {
  for_each = toset(local.programs)

  type             = "zip"
  source_file      = "${local.code}/${local.folder}/${each.key}/bootstrap"
  output_file_mode = "0755"
  output_path      = "${path.root}/.terraform/${var.name}/${each.key}.zip"
}

# /opt/rds-ca.pem, which DATABASE_URL names.
data "archive_file" "certificates" {
  type        = "zip"
  output_path = "${path.root}/.terraform/${var.name}/certificates.zip"

  source {
    filename = "rds-ca.pem"
    content  = file(var.certificate_authorities)
  }
}

resource "aws_lambda_layer_version" "certificates" {
  layer_name       = "${var.name}-certificates"
  description      = "The authorities of Amazon RDS's certificates, in /opt/rds-ca.pem"
  filename         = data.archive_file.certificates.output_path
  source_code_hash = data.archive_file.certificates.output_base64sha256
}

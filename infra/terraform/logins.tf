# How the consumer and the reader log in to the database: with a token made from the function's role, or with a secret.

locals {
  uses_secrets  = var.database_auth == "secret"
  consumer_user = coalesce(var.consumer_user, "${var.role_prefix}_consumer_login")
  reader_user   = coalesce(var.reader_user, "${var.role_prefix}_reader_login")

  database_at = "${var.database_host}:${var.database_port}/${var.database_name}?sslrootcert=/opt/rds-ca.pem"
  schema      = { USER_SYNC_DATABASE_SCHEMA = local.schema_name }

  users   = { consumer = local.consumer_user, reader = local.reader_user }
  secrets = { consumer = var.consumer_secret_arn, reader = var.reader_secret_arn }

  # What a program needs to log in as one of the two, and the rights for it.
  login = { for login, user in local.users : login => {
    environment = merge(local.schema, local.uses_secrets ? {
      DATABASE_URL                  = "postgres://${local.database_at}"
      USER_SYNC_DATABASE_AUTH       = "secret"
      USER_SYNC_DATABASE_SECRET_ARN = local.secrets[login]
      } : {
      DATABASE_URL                  = "postgres://${user}@${local.database_at}"
      USER_SYNC_DATABASE_AUTH       = "iam"
      USER_SYNC_DATABASE_SECRET_ARN = null
    })
    # "Creating and using an IAM policy for IAM database access", Amazon RDS User Guide.
    statement = {
      Effect = "Allow"
      Action = local.uses_secrets ? local.reads_secret : ["rds-db:connect"]
      Resource = local.uses_secrets ? local.secrets[login] : format(
        "arn:%s:rds-db:%s:%s:dbuser:%s/%s",
        local.account.partition, local.account.region, local.account.id, coalesce(var.database_resource_id, "-"), user,
      )
    }
  } }

  reads_secret = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
}

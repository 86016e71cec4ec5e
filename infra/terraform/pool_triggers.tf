# Makes the trigger function the pool's PostConfirmation and PostAuthentication trigger, by the operator's program. It changes
# these two settings and nothing else, and puts back what was there. No aws_cognito_user_pool: that would own the pool.

locals {
  # What a function may set, whatever it is asked: who may invoke it could else make any function the trigger.
  attachment = merge(local.chains, {
    USER_SYNC_USER_POOL_ID       = var.user_pool_id
    USER_SYNC_TRIGGER_ARN        = module.trigger.arn
    USER_SYNC_OVERWRITE_TRIGGERS = tostring(var.overwrite_triggers)
  })

  email_service = "email.cognito-idp.amazonaws.com"

  # Reads all settings of the pool, and sends them back.
  updates_pool = concat(
    [
      {
        Effect = "Allow"
        Action = [
          "cognito-idp:DescribeUserPool",
          "cognito-idp:UpdateUserPool",
          # The factors of MFA are no part of the two above, and an update must not change them.
          "cognito-idp:GetUserPoolMfaConfig",
          "cognito-idp:SetUserPoolMfaConfig",
          # An update sends the pool's tags, too.
          "cognito-idp:TagResource",
          "cognito-idp:UntagResource",
        ]
        Resource = local.arn_of.user_pool
      },
      # A pool that sends by Amazon SES: "Using service-linked roles for Amazon Cognito", Amazon Cognito Developer Guide.
      {
        Effect    = "Allow"
        Action    = "iam:CreateServiceLinkedRole"
        Resource  = "arn:${local.account.partition}:iam::${local.account.id}:role/aws-service-role/${local.email_service}/AWSServiceRoleForAmazonCognitoIdpEmailService"
        Condition = { StringEquals = { "iam:AWSServiceName" = local.email_service } }
      },
      # Whether a function that is the trigger now is a former one of ours, by its tag.
      {
        Effect    = "Allow"
        Action    = "lambda:ListTags"
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceAccount" = local.account.id } }
      },
    ],
    [for role in var.sms_role_arn[*] : {
      Effect    = "Allow"
      Action    = "iam:PassRole"
      Resource  = role
      Condition = { StringEquals = { "iam:PassedToService" = "cognito-idp.amazonaws.com" } }
    }],
    [for key in var.sender_key_arn[*] : { Effect = "Allow", Action = "kms:CreateGrant", Resource = key }],
  )

  # What the first invocation has answered: the pool, and what it had before.
  attached = one([for first in aws_lambda_invocation.pool_triggers_first : jsondecode(first.result).PhysicalResourceId])

  # CloudFormation's form, which the program reads: texts only, and what is null is left out.
  attachment_properties = { for name, value in {
    UserPoolId              = var.user_pool_id
    FunctionArn             = module.trigger.arn
    ChainPostConfirmation   = var.chain_post_confirmation_arn
    ChainPostAuthentication = var.chain_post_authentication_arn
    Overwrite               = tostring(var.overwrite_triggers)
  } : name => value if value != null }
}

module "pool_triggers" {
  source = "./modules/function"
  count  = var.attach_triggers ? 1 : 0

  name         = "${var.name}-pool-triggers"
  description  = "Sets the user pool's two triggers when the module is applied, and puts back what was there"
  account      = local.account
  package      = local.packages["user-sync-operator"]
  architecture = var.architecture
  # It waits for Cognito where that throttles, and where somebody else changes the pool meanwhile.
  timeout     = 300
  memory_size = 256
  environment = merge(local.log_all, local.attachment, { USER_SYNC_OPERATION = "pool-triggers" })
  statements  = local.updates_pool
  log         = local.log
  tracing     = var.tracing
}

# The first time: refuses a trigger that is somebody else's. Its answer holds the functions that were there before, for as long
# as the module is there, so nothing may invoke it again before the end: there it takes the trigger away where an apply stopped
# before the second invocation. The pool would else call a function that is deleted next, and nobody could sign in.
resource "aws_lambda_invocation" "pool_triggers_first" {
  count = var.attach_triggers ? 1 : 0

  function_name   = module.pool_triggers[0].name
  lifecycle_scope = "CRUD"
  input = jsonencode({
    RequestType        = "Create"
    ResourceProperties = local.attachment_properties
  })

  lifecycle {
    ignore_changes = all
  }

  # A pool that is in use would else call a function that it may not call, and nobody could sign in.
  depends_on = [module.pool_triggers, aws_lambda_permission.trigger]
}

# Sets them again whenever something here changes, and takes them away at the end: the provider adds `tf.action` then.
resource "aws_lambda_invocation" "pool_triggers" {
  count = var.attach_triggers ? 1 : 0

  function_name   = module.pool_triggers[0].name
  lifecycle_scope = "CRUD"
  input = jsonencode({
    RequestType        = "Update"
    PhysicalResourceId = local.attached
    ResourceProperties = merge(local.attachment_properties, {
      Deployment = var.deployment
      Code       = local.packages["user-sync-operator"].hash
    })
  })

  # The program refuses it, too. This is before anything has changed.
  lifecycle {
    precondition {
      condition     = startswith(local.attached, "user-sync-triggers/${var.user_pool_id}/")
      error_message = "user_pool_id must stay what it was, since the former pool's triggers would be left behind: apply once with the former pool and attach_triggers = false, which puts back what it had, and then with this one. It was attached as ${local.attached}."
    }
  }

  depends_on = [module.pool_triggers, aws_lambda_permission.trigger]
}

# Compares the user pool with the table, and changes neither. It asks Cognito itself, outside of the VPC, and the table by the
# rows function: nothing in the VPC needs a way to Cognito.

module "drift" {
  source = "./modules/function"
  count  = local.has_drift ? 1 : 0

  name         = "${var.name}-drift"
  description  = "Compares the user pool with the table, and changes neither"
  account      = local.account
  package      = local.packages["user-sync-operator"]
  architecture = var.architecture
  timeout      = 900
  memory_size  = 512
  environment = merge(local.log_all, {
    USER_SYNC_OPERATION     = "drift"
    USER_SYNC_ROWS_FUNCTION = module.rows[0].name
    USER_SYNC_USER_POOL_ID  = var.user_pool_id
    # A comparison that is older gives up: the schedule has begun the next one.
    USER_SYNC_DRIFT_INTERVAL_SECONDS = tostring(var.drift_interval_seconds)
  })
  statements = [
    {
      Effect = "Allow"
      Action = [
        "cognito-idp:ListUsers",
        "cognito-idp:DescribeUserPool",
        "cognito-idp:ListGroups",
        "cognito-idp:ListUsersInGroup",
      ]
      Resource = local.arn_of.user_pool
    },
    { Effect = "Allow", Action = "lambda:InvokeFunction", Resource = module.rows[0].arn },
    { Effect = "Allow", Action = "events:PutEvents", Resource = local.arn_of.event_bus },
  ]
  log     = local.log
  tracing = var.tracing
}

# Its answer goes to the default event bus, from where a check of a large pool goes on where the function's time was over.
resource "aws_lambda_function_event_invoke_config" "drift" {
  count = local.has_drift ? 1 : 0

  function_name = module.drift[0].name

  destination_config {
    on_success {
      destination = local.arn_of.event_bus
    }
  }
}

# Lambda ends the loops that it sees after 16 rounds, and a large pool takes more.
resource "aws_lambda_function_recursion_config" "drift" {
  count = local.has_drift ? 1 : 0

  function_name  = module.drift[0].name
  recursive_loop = "Allow"
}

module "drift_goes_on" {
  source = "./modules/rule"
  count  = local.has_drift ? 1 : 0

  name        = "${var.name}-drift-goes-on"
  description = "A comparison of the user pool with the table that is not finished"
  event_pattern = jsonencode({
    source        = ["lambda"]
    "detail-type" = ["Lambda Function Invocation Result - Success"]
    detail = {
      # EventBridge invokes no version; Lambda names the one that ran.
      requestContext = { functionArn = ["${module.drift[0].arn}:$LATEST"] }
      # A leaf that it always has: whether an object is there EventBridge does not see.
      responsePayload = { unfinished = { started_at = [{ exists = true }] } }
    }
  })
  targets = { drift = {
    arn = module.drift[0].arn
    input_transformer = {
      input_paths    = { unfinished = "$.detail.responsePayload.unfinished" }
      input_template = "{\"drift\":<unfinished>}"
    }
  } }
}

module "drift_check" {
  source = "./modules/rule"
  count  = local.has_drift ? 1 : 0

  name        = "${var.name}-drift"
  description = "Begins a comparison of the user pool with the table"
  schedule_expression = var.drift_interval_seconds == 86400 ? "rate(1 day)" : (
    var.drift_interval_seconds % 86400 == 0 ? "rate(${var.drift_interval_seconds / 86400} days)" : (
      var.drift_interval_seconds == 3600 ? "rate(1 hour)" : (
        var.drift_interval_seconds % 3600 == 0 ? "rate(${var.drift_interval_seconds / 3600} hours)" : (
          "rate(${var.drift_interval_seconds / 60} minutes)"
  ))))
  targets = { drift = { arn = module.drift[0].arn, input = jsonencode({ drift = true }) } }
}

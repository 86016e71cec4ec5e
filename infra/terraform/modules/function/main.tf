# One function that runs one program, with a role and a log of its own.

locals {
  arn       = "arn:${var.account.partition}:lambda:${var.account.region}:${var.account.id}:function:${var.name}"
  in_vpc    = var.network != null
  log_group = "/aws/lambda/${var.name}"

  writes_log = [{
    Effect   = "Allow"
    Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    Resource = "${aws_cloudwatch_log_group.this.arn}:*"
  }]

  # What Lambda needs to reach a VPC. EC2 takes no narrower resource ("Giving Lambda functions access to resources in an
  # Amazon VPC", AWS Lambda Developer Guide). The rights are Lambda's, not the code's: the same page's example denies them.
  reaches_vpc = [for statement in [
    {
      Sid    = "NetworkInterfaces"
      Effect = "Allow"
      Action = [
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = "*"
    },
    {
      Sid    = "NotByTheCode"
      Effect = "Deny"
      Action = [
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DetachNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
      ]
      Resource  = "*"
      Condition = { ArnEquals = { "lambda:SourceFunctionArn" = local.arn } }
    },
  ] : statement if local.in_vpc]

  traces = [for statement in [{
    Sid      = "Tracing"
    Effect   = "Allow"
    Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    Resource = "*"
  }] : statement if var.tracing != null]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group
  retention_in_days = var.log.retention_days
  kms_key_id        = var.log.kms_key_arn
  skip_destroy      = var.log.keep
}

resource "aws_iam_role" "this" {
  # Roles belong to the whole account, and functions to a Region.
  name = "${var.name}-${var.account.region}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "user-sync"
  role = aws_iam_role.this.name
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat(local.writes_log, local.reaches_vpc, local.traces, var.statements)
  })
}

resource "aws_lambda_function" "this" {
  function_name                  = var.name
  description                    = var.description
  filename                       = var.package.filename
  source_code_hash               = var.package.hash
  handler                        = "bootstrap"
  runtime                        = "provided.al2023"
  architectures                  = [var.architecture]
  timeout                        = var.timeout
  memory_size                    = var.memory_size
  layers                         = var.layers
  reserved_concurrent_executions = var.reserved_concurrent_executions
  role                           = aws_iam_role.this.arn
  tags                           = var.tags

  environment {
    # A variable that is null is not set.
    variables = { for name, value in var.environment : name => value if value != null }
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this.name
  }

  dynamic "vpc_config" {
    for_each = local.in_vpc ? [var.network] : []
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = [vpc_config.value.security_group_id]
    }
  }

  dynamic "tracing_config" {
    for_each = var.tracing[*]
    content {
      mode = tracing_config.value
    }
  }

  # Its rights are there before it runs, and until it is gone.
  depends_on = [aws_iam_role_policy.this]
}

# A rule of EventBridge, and the functions that it invokes.

resource "aws_cloudwatch_event_rule" "this" {
  name                = var.name
  description         = var.description
  schedule_expression = var.schedule_expression
  event_pattern       = var.event_pattern
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = var.targets

  rule      = aws_cloudwatch_event_rule.this.name
  target_id = each.key
  arn       = each.value.arn
  input     = each.value.input

  dynamic "input_transformer" {
    for_each = each.value.input_transformer[*]
    content {
      input_paths    = input_transformer.value.input_paths
      input_template = input_transformer.value.input_template
    }
  }

  dynamic "dead_letter_config" {
    for_each = each.value.dead_letter_arn[*]
    content {
      arn = dead_letter_config.value
    }
  }

  depends_on = [aws_lambda_permission.this]
}

resource "aws_lambda_permission" "this" {
  for_each = var.targets

  statement_id  = var.name
  action        = "lambda:InvokeFunction"
  function_name = each.value.arn
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this.arn
}

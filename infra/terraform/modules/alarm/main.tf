# An alarm on one metric, or on an expression of several.

locals {
  one = var.expression == null ? one(values(var.metrics)) : null
  # "p99" and its like are another attribute than "Sum" and its like.
  is_percentile = try(startswith(local.one.stat, "p"), false)
  each          = var.expression == null ? {} : var.metrics
}

resource "aws_cloudwatch_metric_alarm" "this" {
  alarm_name          = var.name
  alarm_description   = var.description
  comparison_operator = var.below ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = var.threshold
  evaluation_periods  = var.evaluation_periods
  datapoints_to_alarm = var.datapoints_to_alarm
  treat_missing_data  = var.treat_missing_data
  alarm_actions       = var.actions
  ok_actions          = var.actions

  namespace          = try(local.one.namespace, null)
  metric_name        = try(local.one.name, null)
  dimensions         = try(local.one.dimensions, null)
  period             = try(local.one.period, null)
  statistic          = local.is_percentile ? null : try(local.one.stat, null)
  extended_statistic = local.is_percentile ? local.one.stat : null

  dynamic "metric_query" {
    for_each = var.expression[*]
    content {
      id          = "expression"
      expression  = metric_query.value
      period      = one(distinct([for metric in var.metrics : metric.period]))
      return_data = true
    }
  }

  dynamic "metric_query" {
    for_each = local.each
    content {
      id          = metric_query.key
      return_data = false

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.name
        dimensions  = metric_query.value.dimensions
        period      = metric_query.value.period
        stat        = metric_query.value.stat
      }
    }
  }
}

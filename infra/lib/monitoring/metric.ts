/** What a metric of the programs is made of; knows no alarm and no graph. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as sqs from 'aws-cdk-lib/aws-sqs';

/** The namespace of all metrics of the programs. */
const NAMESPACE = 'UserSync';

/** A metric of one of the programs; `service` is its dimension. */
export function metricOf(
  service: string,
  name: string,
  options: cloudwatch.MetricOptions,
): cloudwatch.Metric {
  return new cloudwatch.Metric({
    namespace: NAMESPACE,
    metricName: name,
    dimensionsMap: { service },
    period: Duration.minutes(5),
    statistic: 'Sum',
    ...options,
  });
}

/** Several metrics as one, each of which is 0 where it says nothing. */
export function ofAny(
  combine: 'MAX' | 'SUM',
  usingMetrics: Record<string, cloudwatch.Metric>,
  period: Duration,
): cloudwatch.MathExpression {
  const each = Object.keys(usingMetrics).map((id) => `FILL(${id}, 0)`);
  return new cloudwatch.MathExpression({
    expression: `${combine}([${each.join(', ')}])`,
    usingMetrics,
    period,
  });
}

/** A metric by the values of its label. */
export function byLabel(service: string, metric: string, label: string): cloudwatch.MathExpression {
  return new cloudwatch.MathExpression({
    expression: `SEARCH('{${NAMESPACE},service,${label}} MetricName="${metric}" service="${service}"', 'Sum', 300)`,
    usingMetrics: {},
    label: '',
    period: Duration.minutes(5),
  });
}

/** The most messages that waited in a queue in a minute. */
export function waiting(queue: sqs.Queue, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
  const most = { period: Duration.minutes(1), statistic: 'Maximum', ...options };
  return queue.metricApproximateNumberOfMessagesVisible(most);
}

/** The age of a queue's oldest message, in seconds. */
export function oldest(queue: sqs.Queue, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
  return queue.metricApproximateAgeOfOldestMessage({ statistic: 'Maximum', ...options });
}

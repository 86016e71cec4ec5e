/** What alarms and graphs are made of. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';

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

/** What an alarm watches, and what it says. */
export interface AlarmProps {
  readonly metric: cloudwatch.IMetric;
  readonly threshold: number;
  readonly below?: boolean;
  readonly periods?: number;
  /** How many of the periods raise it; all of them if it is left out. */
  readonly datapoints?: number;
  /** What silence means: all is well, or that somebody should have spoken. */
  readonly missing: cloudwatch.TreatMissingData;
  readonly says: string;
  /** The section of docs/runbook.md. */
  readonly section: string;
}

/** Makes a graph of the dashboard. */
export type Graph = (
  title: string,
  left: cloudwatch.IMetric[],
  props?: Partial<cloudwatch.GraphWidgetProps>,
) => cloudwatch.GraphWidget;

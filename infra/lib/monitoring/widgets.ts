/** The forms that the dashboard's widgets have; knows nothing of what they show. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';

/** The width of the dashboard. */
const WHOLE = 24;

/** A text of the whole width. */
export function text(markdown: string, height = 2): cloudwatch.TextWidget {
  return new cloudwatch.TextWidget({ markdown, width: WHOLE, height });
}

/** One number, with what it was before. */
export function value(title: string, metrics: cloudwatch.IMetric[], width: number): cloudwatch.IWidget {
  const props = { title, metrics, width, height: 4, setPeriodToTimeRange: false, sparkline: true };
  return new cloudwatch.SingleValueWidget(props);
}

/** A graph: a third of the width, unless `props` say otherwise. */
export function graph(
  title: string,
  left: cloudwatch.IMetric[],
  props: Partial<cloudwatch.GraphWidgetProps> = {},
): cloudwatch.GraphWidget {
  const common = { width: WHOLE / 3, height: 6, liveData: true, leftYAxis: { min: 0 } };
  return new cloudwatch.GraphWidget({ title, left, ...common, ...props });
}

/** A line across a graph that nothing should cross. */
export function line(at: number, label: string): cloudwatch.HorizontalAnnotation {
  return { value: at, label, color: cloudwatch.Color.RED };
}

/** An hour, for sums that a person compares. */
export const HOUR = { period: Duration.hours(1) };

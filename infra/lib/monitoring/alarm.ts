/** How an alarm is made; knows none of them. */
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';

/** What an alarm watches, and what it says. */
export interface AlarmProps {
  readonly metric: cloudwatch.IMetric;
  readonly threshold: number;
  /** Whether it rings below the threshold; above it if this is left out. */
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

/** Makes an alarm. */
export type MakeAlarm = (id: string, props: AlarmProps) => cloudwatch.Alarm;

const { GREATER_THAN_THRESHOLD, LESS_THAN_THRESHOLD } = cloudwatch.ComparisonOperator;

/** Whoever makes alarms in a scope, which do what is given when they are raised and when they are over. */
export function alarmMaker(scope: Construct, actions: cloudwatch.IAlarmAction[]): MakeAlarm {
  return (id, props) => {
    const alarm = new cloudwatch.Alarm(scope, id, {
      metric: props.metric,
      threshold: props.threshold,
      comparisonOperator: props.below ? LESS_THAN_THRESHOLD : GREATER_THAN_THRESHOLD,
      evaluationPeriods: props.periods ?? 1,
      datapointsToAlarm: props.datapoints,
      treatMissingData: props.missing,
      alarmDescription: `${props.says} What to do: docs/runbook.md, "${props.section}".`,
    });
    alarm.addAlarmAction(...actions);
    alarm.addOkAction(...actions);
    return alarm;
  };
}

/** A span of time as a person says it: 300 is "5 minutes". */
export function spoken(seconds: number): string {
  const units: [number, string][] = [
    [86_400, 'day'],
    [3_600, 'hour'],
    [60, 'minute'],
    [1, 'second'],
  ];
  const [size, name] = units.find(([unit]) => seconds % unit === 0) ?? [1, 'second'];
  const count = seconds / size;
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}

/** What is watched of contexts, failed sign-ins and the audit: its alarms, and its part of the dashboard. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { AlarmProps, byLabel, Graph, metricOf, ofAny } from './metrics';
import { Queues } from './queues';
import { SignInRecords } from './sign-in-records';

/** The queue of contexts, and what fills and audits it. */
export interface WatchedContexts extends Queues {
  readonly consumerService: string;
  readonly records?: SignInRecords;
  readonly auditFunction?: lambda.Function;
}

const { NOT_BREACHING } = cloudwatch.TreatMissingData;
const HOUR = { period: Duration.hours(1) };

/** The age of what waits longest: for a row, or to be read. */
function oldest(queue: sqs.Queue, records?: SignInRecords): cloudwatch.IMetric {
  const age = (of: sqs.Queue) => of.metricApproximateAgeOfOldestMessage({ statistic: 'Maximum' });
  if (!records?.raw) return age(queue);
  return ofAny('MAX', { contexts: age(queue), raw: age(records.raw.queue) }, Duration.minutes(5));
}

/** Makes an alarm for each way in which records could be lost or say that logins were. */
export function contextAlarms(
  make: (id: string, props: AlarmProps) => cloudwatch.Alarm,
  { queue, deadLetterQueue, records, auditFunction }: WatchedContexts,
): cloudwatch.Alarm[] {
  const made = [
    make('ContextDeadLetters', {
      metric: waiting(deadLetterQueue),
      threshold: 0,
      missing: NOT_BREACHING,
      says: 'Contexts or failed sign-ins could not be applied, and wait in their own dead-letter queue for 14 days.',
      section: 'Context dead letters > 0',
    }),
    make('OldestContext', {
      metric: oldest(queue, records),
      // What waits behind an attack is no reason to wake anybody: sign-ins have a queue of their own.
      threshold: 3_600,
      missing: NOT_BREACHING,
      says: 'Contexts wait for more than an hour: rows lack the place of their latest login. Logins are counted.',
      section: 'Age of the oldest context',
    }),
  ];
  if (records) {
    const queues = { failures: records.failures, ...(records.raw && { raw: records.raw.deadLetterQueue }) };
    const each = Object.entries(queues).map(([id, of]) => [id, waiting(of)]);
    made.push(
      make('SignInRecordFailures', {
        metric: ofAny('SUM', Object.fromEntries(each), Duration.minutes(1)),
        threshold: 0,
        missing: NOT_BREACHING,
        says: "AWS's records of sign-ins could not be read after every retry, and are kept for 14 days.",
        section: 'Sign-in records not read',
      }),
    );
  }
  if (auditFunction) {
    made.push(
      make('LoginsUnaccounted', {
        metric: unaccounted(auditFunction, { ...HOUR, statistic: 'Maximum' }),
        threshold: 0,
        missing: NOT_BREACHING,
        says: 'AWS or the application recorded sign-ins that are not in the ledger. `user-sync audit --list` names them.',
        section: 'Logins unaccounted for',
      }),
      make('AuditFails', {
        // One hour's is no loss: the next audits a day, too.
        metric: auditFunction.metricErrors(HOUR),
        threshold: 0,
        periods: 3,
        missing: NOT_BREACHING,
        says: 'The audit of the logins has failed for three hours.',
        section: 'Logins unaccounted for',
      }),
    );
  }
  return made;
}

/** The dashboard's part: what it says, and its graphs. */
export function contextWidgets(graph: Graph, watched: WatchedContexts): cloudwatch.IWidget[][] {
  const { queue, deadLetterQueue, consumerService, records, auditFunction } = watched;
  const consumer = (name: string, options: cloudwatch.MetricOptions) =>
    metricOf(consumerService, name, options);
  const markdown =
    '## Where logins came from\n**Good:** contexts wait for minutes at most, no record is given up, no login is ' +
    `unaccounted for. Queue \`${queue.queueName}\`, dead letters \`${deadLetterQueue.queueName}\`` +
    (records ? `, records not read \`${records.failures.queueName}\`` : '') +
    (records?.raw ? ` and \`${records.raw.deadLetterQueue.queueName}\`` : '') +
    '.';
  const most = { statistic: 'Maximum' };
  const graphs = [
    graph(
      'Contexts and failures waiting',
      [queue.metricApproximateNumberOfMessagesVisible({ ...most, label: 'messages' })],
      { right: [queue.metricApproximateAgeOfOldestMessage({ ...most, label: 'oldest, seconds' })] },
    ),
    graph('What became of records', [
      consumer('contexts_applied', { label: 'contexts applied' }),
      consumer('failures_recorded', { label: 'failed sign-ins' }),
    ]),
    graph(
      'From record to row (s)',
      ['p50', 'p99'].map((statistic) => consumer('context_freshness', { statistic, label: statistic })),
    ),
    ...(records
      ? [
          graph('Records ignored, by reason', [
            byLabel(records.recordsFunction.functionName, 'records_ignored', 'reason'),
          ]),
        ]
      : []),
    ...(auditFunction
      ? [
          graph('Logins that AWS saw and we did not', [
            unaccounted(auditFunction, { ...HOUR, ...most, label: 'logins' }),
          ]),
        ]
      : []),
  ];
  return [[new cloudwatch.TextWidget({ markdown, width: 24, height: 3 })], graphs];
}

function waiting(queue: sqs.Queue): cloudwatch.Metric {
  return queue.metricApproximateNumberOfMessagesVisible({
    period: Duration.minutes(1),
    statistic: 'Maximum',
  });
}

function unaccounted(audit: lambda.Function, options: cloudwatch.MetricOptions): cloudwatch.Metric {
  return metricOf(audit.functionName, 'logins_unaccounted', options);
}

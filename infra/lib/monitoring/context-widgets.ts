/** The dashboard's part of contexts, failed sign-ins and the audit. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { unaccounted } from './context-alarms';
import { byLabel, metricOf, oldest, waiting } from './metric';
import { WatchedContexts } from './watched';
import { graph, HOUR, text } from './widgets';

/** What it says, and its graphs. */
export function contextRows(watched: WatchedContexts): cloudwatch.IWidget[][] {
  const { queue, deadLetterQueue, consumerService, records, auditFunction } = watched;
  const consumer = (name: string, options: cloudwatch.MetricOptions) =>
    metricOf(consumerService, name, options);
  const markdown =
    '## Where logins came from\n**Good:** contexts wait for minutes at most, no record is given up, no login is ' +
    `unaccounted for. Queue \`${queue.queueName}\`, dead letters \`${deadLetterQueue.queueName}\`` +
    (records ? `, records not read \`${records.failures.queueName}\`` : '') +
    (records?.raw ? ` and \`${records.raw.deadLetterQueue.queueName}\`` : '') +
    '.';
  const graphs = [
    graph(
      'Contexts and failures waiting',
      [waiting(queue, { label: 'messages', period: Duration.minutes(5) })],
      {
        right: [oldest(queue, { label: 'oldest, seconds' })],
      },
    ),
    graph('What became of records', [
      consumer('contexts_applied', { label: 'contexts applied' }),
      consumer('failures_recorded', { label: 'failed sign-ins' }),
    ]),
    graph(
      'From record to row (s)',
      ['p50', 'p99'].map((statistic) => consumer('context_freshness', { statistic, label: statistic })),
    ),
  ];
  if (records) {
    const { functionName } = records.recordsFunction;
    graphs.push(graph('Records ignored, by reason', [byLabel(functionName, 'records_ignored', 'reason')]));
  }
  if (auditFunction) {
    const logins = unaccounted(auditFunction, { ...HOUR, statistic: 'Maximum', label: 'logins' });
    graphs.push(graph('Logins that AWS saw and we did not', [logins]));
  }
  return [[text(markdown, 3)], graphs];
}

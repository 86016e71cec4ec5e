/** The dashboard. Above: the answers. Below: where they come from. */
import { Aws, Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import { contextRows } from './context-widgets';
import { byLabel, metricOf, waiting } from './metric';
import { Metrics } from './metrics';
import { Limits } from './thresholds';
import { Watched } from './watched';
import { graph, HOUR, line, text, value } from './widgets';

type Row = cloudwatch.IWidget[];

/** Makes it. */
export function dashboard(
  scope: Construct,
  watched: Watched,
  metrics: Metrics,
  alarms: cloudwatch.Alarm[],
  limits: Limits,
  heartbeat: number,
): cloudwatch.Dashboard {
  const board = new cloudwatch.Dashboard(scope, 'Dashboard', { defaultInterval: Duration.hours(24) });
  const rows = [
    ...answers(watched, metrics, alarms, heartbeat),
    ...signInRows(watched, metrics),
    ...rowRows(watched, metrics),
    ...upkeepRows(watched, metrics, limits),
    ...(watched.contexts ? contextRows(watched.contexts) : []),
    [text(names(watched))],
  ];
  for (const row of rows) board.addWidgets(...row);
  return board;
}

function answers(watched: Watched, metrics: Metrics, alarms: cloudwatch.Alarm[], heartbeat: number): Row[] {
  const notSynced = [
    metrics.deadLetters({ label: 'dead letters' }),
    metrics.trigger('undelivered', { label: 'only in the log, 1 h', ...HOUR }),
    ...(watched.driftFunction ? [metrics.drift({ label: 'differ from the pool' })] : []),
  ];
  const heartbeats = metrics.consumer('heartbeats', { label: 'heartbeats, 1 h', ...HOUR });
  // As many as there are in every hour.
  const good = Math.floor(60 / heartbeat);
  return [
    [
      text(
        '# Is every user synced?\n' +
          '**Good:** nobody is unsynced (all 0), 99 of 100 events are in their row within half a minute, heartbeats are ' +
          `${good} an hour, no alarm is red. A backlog after an outage is normal and passes. Sign-ins never wait for any of this.`,
      ),
    ],
    [
      value('Is anybody not synced? Good: all 0', notSynced, 9),
      value('How fresh are the rows? Good: below 30 s', [metrics.freshness({ label: 'p99, seconds' })], 5),
      value('Sign-ups and logins an hour', [metrics.trigger('published', { label: 'queued', ...HOUR })], 5),
      value(`Does anything get through? Good: ${good}`, [heartbeats], 5),
    ],
    [
      new cloudwatch.AlarmStatusWidget({
        title: 'Alarms. Good: all green',
        alarms,
        width: 24,
        height: 4,
      }),
    ],
  ];
}

function signInRows({ triggerFunction, isChained }: Watched, metrics: Metrics): Row[] {
  const durations = ['p50', 'p99', 'Maximum'].map((statistic) =>
    triggerFunction.metricDuration({ statistic, label: statistic }),
  );
  return [
    [
      text(
        '## From sign-in to queue\n**Good:** no errors, p99 far below 2,500 ms (Cognito gives up at 5,000), nothing undelivered.',
      ),
    ],
    [
      graph('Events queued by the trigger', [metrics.trigger('published', { label: 'queued' })], {
        right: [metrics.trigger('undelivered', { label: 'only in the log', color: cloudwatch.Color.RED })],
      }),
      graph('How long a sign-in waits for us (ms)', durations, {
        leftAnnotations: [line(5_000, 'Cognito tries again')],
      }),
      graph('Trigger: errors and throttles', [
        triggerFunction.metricErrors({ label: 'errors' }),
        triggerFunction.metricThrottles({ label: 'throttles' }),
        ...(isChained ? [metrics.trigger('chain_failed', { label: 'former trigger not reached' })] : []),
      ]),
    ],
  ];
}

function rowRows(watched: Watched, metrics: Metrics): Row[] {
  const by = (name: string, statistics: string[]) =>
    statistics.map((statistic) => metrics.consumer(name, { statistic, label: statistic }));
  return [
    [
      text(
        '## From queue to row\n**Good:** the queue is empty or falling, duplicates are rare, nothing is rejected or retried for long.',
      ),
    ],
    [
      graph(
        'Waiting in the queue',
        [waiting(watched.queue, { label: 'waiting', period: Duration.minutes(5) })],
        { right: [metrics.oldestMessage({ label: 'oldest, seconds' })] },
      ),
      graph('What became of events', [
        metrics.consumer('applied', { label: 'applied' }),
        metrics.consumer('duplicates', { label: 'duplicates' }),
      ]),
      graph('From event to row (s)', by('freshness', ['p50', 'p99', 'Maximum'])),
      graph('Rejected, by reason', [byLabel(watched.consumerService, 'rejected', 'reason')]),
      graph('Retried, by cause', [byLabel(watched.consumerService, 'retried', 'cause')]),
      graph('Applying a batch (s)', by('apply_duration', ['p50', 'p99']), {
        right: [metrics.consumer('batch_messages', { statistic: 'Average', label: 'messages of a batch' })],
      }),
    ],
    consumerRow(watched),
  ];
}

/** The consumer as AWS sees it. */
function consumerRow({ consumerFunction, worker }: Watched): Row {
  const half = { width: 12 };
  const row: Row = [];
  if (consumerFunction) {
    const most = { statistic: 'Maximum', label: 'consumers' };
    row.push(
      graph(
        'Consumer: errors and throttles',
        [
          consumerFunction.metricErrors({ label: 'errors' }),
          consumerFunction.metricThrottles({ label: 'throttles' }),
        ],
        half,
      ),
      graph(
        'Consumers at once: each is one connection',
        [consumerFunction.metric('ConcurrentExecutions', most)],
        half,
      ),
    );
  }
  if (worker) {
    row.push(
      graph('Worker: CPU (%)', [worker.metricCpuUtilization({ label: 'CPU' })], half),
      graph('Worker: memory (%)', [worker.metricMemoryUtilization({ label: 'memory' })], half),
    );
  }
  return row;
}

function upkeepRows(watched: Watched, metrics: Metrics, { ledgerDays }: Limits): Row[] {
  const { migrator, driftFunction, isAttached } = watched;
  const row: Row = [
    graph('Changes of users, and heartbeats', [
      metrics.lifecycle('published', { label: 'queued' }),
      metrics.lifecycle('failed', { label: 'to be tried again' }),
    ]),
  ];
  if (migrator) {
    const ahead = metrics.ledgerDaysAhead({ label: 'days' });
    const leftAnnotations = [line(ledgerDays, 'alarm below')];
    row.push(graph('Days that the ledger has ahead', [ahead], { leftAnnotations }));
  }
  if (driftFunction) row.push(graph('Users who differ from the pool', [metrics.drift({ label: 'users' })]));
  if (isAttached) row.push(graph('Triggers that do not call us', triggerLines(watched, metrics)));
  row.push(graph('Errors of the functions beside sign-ins', errorLines(watched)));
  return [
    [
      text(
        `## Beside sign-ins\n**Good:** no failures; the ledger has ${ledgerDays} days or more ahead; no drift; no trigger missing. Drift is repaired by \`user-sync reconcile --repair\`.`,
      ),
    ],
    row,
  ];
}

/** The lines of the graph of triggers. */
function triggerLines({ triggerKeeper }: Watched, metrics: Metrics): cloudwatch.IMetric[] {
  const most = { statistic: 'Maximum', label: 'missing' };
  const missing = metrics.lifecycle('triggers_missing', most);
  if (!triggerKeeper) return [missing];
  const keeper = triggerKeeper.functionName;
  return [
    missing,
    metricOf(keeper, 'triggers_missing', { ...most, label: 'missing, to the keeper' }),
    metricOf(keeper, 'triggers_put_back', { label: 'put back' }),
    byLabel(keeper, 'triggers_not_put_back', 'reason'),
  ];
}

/** One line for each function whose failures no sign-in and no row shows. */
function errorLines(watched: Watched): cloudwatch.IMetric[] {
  const { lifecycleFunction, migrator, driftFunction, rowsFunction, deploymentCheck } = watched;
  return [
    lifecycleFunction.metricErrors({ label: 'lifecycle' }),
    ...(migrator ? [migrator.metricErrors({ label: 'migrator' })] : []),
    ...(driftFunction ? [driftFunction.metricErrors({ label: 'drift check' })] : []),
    ...(rowsFunction ? [rowsFunction.metricErrors({ label: 'rows' })] : []),
    ...(deploymentCheck ? [deploymentCheck.metricErrors({ label: 'deployment check' })] : []),
  ];
}

/** What the parts are called, for whoever has to look into them. */
function names({ queue, deadLetterQueue, triggerFunction, triggersParameter }: Watched): string {
  return (
    `Region ${Aws.REGION}. Queue \`${queue.queueName}\`, dead letters \`${deadLetterQueue.queueName}\`, ` +
    `trigger's log \`${triggerFunction.logGroup.logGroupName}\`, trigger \`${triggerFunction.functionArn}\`` +
    (triggersParameter ? `, its parameter \`${triggersParameter.parameterName}\`` : '') +
    '. When an alarm is red: docs/runbook.md.'
  );
}

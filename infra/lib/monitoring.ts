/**
 * Longer than a file here should be: its parts are siblings by prefix. They are divided by concept when the construct gets
 * nested ones; until then a split would only move them.
 */
import { Aws, Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import { contextAlarms, contextWidgets, WatchedContexts } from './context-monitoring';
import { AlarmProps, byLabel, Graph, metricOf, ofAny } from './metrics';

/** What is watched. */
export interface Watched {
  readonly queue: sqs.Queue;
  readonly deadLetterQueue: sqs.Queue;
  readonly triggerFunction: lambda.Function;
  readonly isAttached: boolean;
  readonly isChained: boolean;
  readonly consumerService: string;
  readonly consumerFunction?: lambda.Function;
  readonly worker?: ecs.FargateService;
  readonly lifecycleFunction: lambda.Function;
  readonly lifecycleFailures: sqs.Queue;
  readonly triggerKeeper?: lambda.Function;
  readonly triggersParameter?: ssm.IParameter;
  readonly migrator?: lambda.Function;
  readonly driftFunction?: lambda.Function;
  readonly driftInterval?: Duration;
  readonly contexts?: WatchedContexts;
}

/** Why triggers that are missing are not put back, as the label of the metric has it. */
const NOT_PUT_BACK = ['held', 'limit', 'foreign', 'parameter', 'failed'];

/** The metrics, by what they answer. */
export class Metrics {
  constructor(private readonly watched: Watched) {}

  public trigger(name: string, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return metricOf(this.watched.triggerFunction.functionName, name, options);
  }

  public consumer(name: string, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return metricOf(this.watched.consumerService, name, options);
  }

  public lifecycle(name: string, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return metricOf(this.watched.lifecycleFunction.functionName, name, options);
  }

  /** Of the pool's two triggers those that do not call ours: the most that anybody who looked has seen in a minute. */
  public triggersMissing(): cloudwatch.IMetric {
    const most = { period: Duration.minutes(1), statistic: 'Maximum' };
    const looks: Record<string, cloudwatch.Metric> = { lifecycle: this.lifecycle('triggers_missing', most) };
    const { triggerKeeper } = this.watched;
    if (!triggerKeeper) return looks.lifecycle!;
    // The keeper may have put them back before the other looks.
    looks.keeper = metricOf(triggerKeeper.functionName, 'triggers_missing', most);
    return ofAny('MAX', looks, most.period);
  }

  /** How often the keeper saw triggers missing and did not put them back, or failed. */
  public notPutBack(keeper: lambda.Function): cloudwatch.IMetric {
    const sum = { period: Duration.minutes(1) };
    const counted = NOT_PUT_BACK.map((reason) => {
      const dimensionsMap = { service: keeper.functionName, reason };
      return [reason, metricOf(keeper.functionName, 'triggers_not_put_back', { dimensionsMap, ...sum })];
    });
    return ofAny('SUM', { ...Object.fromEntries(counted), errors: keeper.metricErrors(sum) }, sum.period);
  }

  public freshness(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return this.consumer('freshness', { statistic: 'p99', ...options });
  }

  /** Messages that were returned to the queue for one cause, as src/store/outcome.rs names it. */
  public retried(cause: string, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    const dimensionsMap = { service: this.watched.consumerService, cause };
    return this.consumer('retried', { dimensionsMap, ...options });
  }

  public deadLetters(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    const maximum = { period: Duration.minutes(1), statistic: 'Maximum', ...options };
    return this.watched.deadLetterQueue.metricApproximateNumberOfMessagesVisible(maximum);
  }

  public oldestMessage(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return this.watched.queue.metricApproximateAgeOfOldestMessage({ statistic: 'Maximum', ...options });
  }

  public drift(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    const drift = this.watched.driftFunction;
    if (!drift)
      throw new Error('CognitoUserSync: there is no metric of drift: driftCheck is DriftCheck.none()');
    return metricOf(drift.functionName, 'drift', {
      period: Duration.days(1),
      statistic: 'Maximum',
      ...options,
    });
  }

  public ledgerDaysAhead(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    const migrator = this.watched.migrator;
    if (!migrator)
      throw new Error('CognitoUserSync: nothing measures the ledger: migrations is Migrations.SKIP');
    const least = { period: Duration.days(1), statistic: 'Minimum', ...options };
    return metricOf(migrator.functionName, 'ledger_days_ahead', least);
  }
}

const { BREACHING, NOT_BREACHING } = cloudwatch.TreatMissingData;
const { GREATER_THAN_THRESHOLD, LESS_THAN_THRESHOLD } = cloudwatch.ComparisonOperator;

/**
 * One look in a minute is enough, since a deployment never takes the triggers away, and nobody looks before they are set.
 * Somebody looks every 5 minutes: fewer periods than two looks and the time until CloudWatch has the second would call it
 * over in between, or after one look that failed.
 */
const LOOKS = { periods: 12, datapoints: 1 };

/** Makes an alarm for each way in which users could stop being synced. */
export function alarms(
  scope: Construct,
  watched: Watched,
  metrics: Metrics,
  actions: cloudwatch.IAlarmAction[] = [],
): cloudwatch.Alarm[] {
  const parent = new Construct(scope, 'Alarms');
  const make = (id: string, props: AlarmProps): cloudwatch.Alarm => {
    const alarm = new cloudwatch.Alarm(parent, id, {
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
  const trigger = watched.triggerFunction;
  const made = [
    make('HeartbeatMissing', {
      metric: metrics.consumer('heartbeats', { period: Duration.minutes(15) }),
      threshold: 1,
      below: true,
      missing: BREACHING,
      says: 'No heartbeat has come through for 15 minutes: users are not synced. Sign-ins go on.',
      section: 'Heartbeat age',
    }),
    make('Undelivered', {
      metric: metrics.trigger('undelivered'),
      threshold: 0,
      missing: NOT_BREACHING,
      says: "Events are only in the trigger's log: replay them before its retention is over.",
      section: 'Undelivered > 0',
    }),
    make('DeadLetters', {
      metric: metrics.deadLetters(),
      threshold: 0,
      missing: NOT_BREACHING,
      says: 'Messages could not be applied, and wait in the dead-letter queue for 14 days.',
      section: 'Dead letters > 0',
    }),
    make('DatabaseMisconfigured', {
      metric: metrics.retried('database_misconfigured', { period: Duration.minutes(1) }),
      threshold: 0,
      // One is enough, since it never passes by itself. A message comes back after 15 minutes at most: fewer periods
      // would call it over between two attempts.
      periods: 20,
      datapoints: 1,
      missing: NOT_BREACHING,
      says:
        'The database refuses rows: a migration or a grant is missing, or somebody changed what the tables take. ' +
        'The messages are retried and nothing is lost, but users are not synced. `user-sync doctor` names what refuses the rows.',
      section: 'Database misconfigured',
    }),
    make('OldestMessage', {
      metric: metrics.oldestMessage(),
      threshold: 900,
      missing: NOT_BREACHING,
      says: 'Events wait in the queue for more than 15 minutes: the consumer or the database is behind.',
      section: 'Age of the oldest message, freshness p99',
    }),
    make('Freshness', {
      metric: metrics.freshness(),
      threshold: 300,
      missing: NOT_BREACHING,
      says: 'One event in a hundred takes more than 5 minutes to its row.',
      section: 'Age of the oldest message, freshness p99',
    }),
    make('TriggerErrors', {
      metric: trigger.metricErrors(),
      threshold: 0,
      missing: NOT_BREACHING,
      says: 'The trigger function fails: users cannot sign in.',
      section: 'Trigger errors, trigger duration',
    }),
    make('TriggerThrottles', {
      // Lambda does not count them as errors, and to Cognito they are.
      metric: trigger.metricThrottles(),
      threshold: 0,
      missing: NOT_BREACHING,
      says: "The trigger function is throttled, by the account's concurrency: users cannot sign in.",
      section: 'Trigger errors, trigger duration',
    }),
    make('TriggerDuration', {
      // Who was the trigger before is waited for, up to 4.4 s.
      metric: trigger.metricDuration({ statistic: 'p99' }),
      threshold: watched.isChained ? 4_000 : 2_500,
      missing: NOT_BREACHING,
      says: 'The trigger function comes close to the 5 s after which Cognito tries again.',
      section: 'Trigger errors, trigger duration',
    }),
    make('LifecycleFailures', {
      metric: watched.lifecycleFailures.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum' }),
      threshold: 0,
      missing: NOT_BREACHING,
      says: 'Changes or heartbeats were given up after every retry, and are kept in the queue of lifecycle failures. Reconcile brings the changes.',
      section: 'Lifecycle failures > 0',
    }),
  ];
  if (watched.isAttached) {
    made.push(
      make('TriggersMissing', {
        metric: metrics.triggersMissing(),
        threshold: 0,
        ...LOOKS,
        missing: NOT_BREACHING,
        says: 'The user pool does not call the trigger function, or did not for a while: sign-ins were not counted.',
        section: 'Triggers missing',
      }),
    );
  }
  if (watched.triggerKeeper) {
    made.push(
      make('TriggersNotPutBack', {
        metric: metrics.notPutBack(watched.triggerKeeper),
        threshold: 0,
        ...LOOKS,
        missing: NOT_BREACHING,
        says:
          'Triggers of the user pool are missing and nobody puts them back: somebody holds them, they were put back too ' +
          "often, another function is there, or the parameter or the pool cannot be used. The keeper's log says which.",
        section: 'Triggers missing',
      }),
    );
  }
  if (watched.isChained) {
    made.push(
      make('ChainFailed', {
        metric: metrics.trigger('chain_failed'),
        threshold: 0,
        missing: NOT_BREACHING,
        says: "The pool's former trigger could not be called, and sign-ins went on without it, or it did not answer, and they failed.",
        section: 'chain_failed > 0',
      }),
    );
  }
  if (watched.consumerFunction) {
    made.push(
      make('ConsumerErrors', {
        metric: watched.consumerFunction.metricErrors(),
        threshold: 0,
        missing: NOT_BREACHING,
        says: 'The consumer fails as a whole, and its batches return to the queue.',
        section: 'Consumer errors',
      }),
    );
  }
  if (watched.migrator) {
    made.push(
      make('LedgerHorizon', {
        metric: metrics.ledgerDaysAhead(),
        threshold: 35,
        below: true,
        periods: 2,
        missing: BREACHING,
        says: 'The ledger has months for fewer than 35 days ahead, or its daily maintenance has not run for two days.',
        section: 'Ledger horizon near',
      }),
    );
  }
  if (watched.driftFunction && watched.driftInterval) {
    made.push(
      make('Drift', {
        metric: metrics.drift(),
        threshold: 0,
        missing: NOT_BREACHING,
        says: 'Users differ between the pool and the table.',
        section: 'Drift',
      }),
      make('DriftCheckMissing', {
        metric: metrics.drift({ statistic: 'SampleCount' }),
        threshold: 1,
        below: true,
        periods: Math.max(2, Math.ceil((2 * watched.driftInterval.toSeconds()) / 86_400)),
        missing: BREACHING,
        says: 'No comparison of the pool with the table has come to its end in time.',
        section: 'Drift',
      }),
    );
  }
  if (watched.contexts) made.push(...contextAlarms(make, watched.contexts));
  return made;
}

/** Above: the answers. Below: where they come from. */
export function dashboard(
  scope: Construct,
  watched: Watched,
  metrics: Metrics,
  made: cloudwatch.Alarm[],
): cloudwatch.Dashboard {
  const hour = { period: Duration.hours(1) };
  const board = new cloudwatch.Dashboard(scope, 'Dashboard', { defaultInterval: Duration.hours(24) });
  const text = (markdown: string, height = 3) => new cloudwatch.TextWidget({ markdown, width: 24, height });
  const value = (title: string, shown: cloudwatch.IMetric[], width = 6) =>
    new cloudwatch.SingleValueWidget({
      title,
      metrics: shown,
      width,
      height: 4,
      setPeriodToTimeRange: false,
      sparkline: true,
    });
  const graph: Graph = (title, left, props = {}) =>
    new cloudwatch.GraphWidget({
      title,
      left,
      width: 8,
      height: 6,
      liveData: true,
      leftYAxis: { min: 0 },
      ...props,
    });

  const notSynced = [
    metrics.deadLetters({ label: 'dead letters' }),
    metrics.trigger('undelivered', { label: 'only in the log, 1 h', ...hour }),
    ...(watched.driftFunction ? [metrics.drift({ label: 'differ from the pool' })] : []),
  ];
  board.addWidgets(
    text(
      '# Is every user synced?\n' +
        '**Good:** nobody is unsynced (all 0), 99 of 100 events are in their row within half a minute, heartbeats are 12 an hour, ' +
        'no alarm is red. A backlog after an outage is normal and passes. Sign-ins never wait for any of this.',
      2,
    ),
  );
  board.addWidgets(
    value('Is anybody not synced? Good: all 0', notSynced, 9),
    value('How fresh are the rows? Good: below 30 s', [metrics.freshness({ label: 'p99, seconds' })], 5),
    value('Sign-ups and logins an hour', [metrics.trigger('published', { label: 'queued', ...hour })], 5),
    value(
      'Does anything get through? Good: 12',
      [metrics.consumer('heartbeats', { label: 'heartbeats, 1 h', ...hour })],
      5,
    ),
  );
  board.addWidgets(
    new cloudwatch.AlarmStatusWidget({
      title: 'Alarms. Good: all green',
      alarms: made,
      width: 24,
      height: 4,
    }),
  );

  board.addWidgets(
    text(
      '## From sign-in to queue\n**Good:** no errors, p99 far below 2,500 ms (Cognito gives up at 5,000), nothing undelivered.',
      2,
    ),
  );
  board.addWidgets(
    graph('Events queued by the trigger', [metrics.trigger('published', { label: 'queued' })], {
      right: [metrics.trigger('undelivered', { label: 'only in the log', color: cloudwatch.Color.RED })],
    }),
    graph(
      'How long a sign-in waits for us (ms)',
      ['p50', 'p99', 'Maximum'].map((statistic) =>
        watched.triggerFunction.metricDuration({ statistic, label: statistic }),
      ),
      { leftAnnotations: [{ value: 5_000, label: 'Cognito tries again', color: cloudwatch.Color.RED }] },
    ),
    graph('Trigger: errors and throttles', [
      watched.triggerFunction.metricErrors({ label: 'errors' }),
      watched.triggerFunction.metricThrottles({ label: 'throttles' }),
      ...(watched.isChained
        ? [metrics.trigger('chain_failed', { label: 'former trigger not reached' })]
        : []),
    ]),
  );

  board.addWidgets(
    text(
      '## From queue to row\n**Good:** the queue is empty or falling, duplicates are rare, nothing is rejected or retried for long.',
      2,
    ),
  );
  board.addWidgets(
    graph(
      'Waiting in the queue',
      [watched.queue.metricApproximateNumberOfMessagesVisible({ label: 'waiting', statistic: 'Maximum' })],
      {
        right: [metrics.oldestMessage({ label: 'oldest, seconds' })],
      },
    ),
    graph('What became of events', [
      metrics.consumer('applied', { label: 'applied' }),
      metrics.consumer('duplicates', { label: 'duplicates' }),
    ]),
    graph(
      'From event to row (s)',
      ['p50', 'p99', 'Maximum'].map((statistic) => metrics.freshness({ statistic, label: statistic })),
    ),
    graph('Rejected, by reason', [byLabel(watched.consumerService, 'rejected', 'reason')]),
    graph('Retried, by cause', [byLabel(watched.consumerService, 'retried', 'cause')]),
    graph(
      'Applying a batch (s)',
      ['p50', 'p99'].map((statistic) => metrics.consumer('apply_duration', { statistic, label: statistic })),
      { right: [metrics.consumer('batch_messages', { statistic: 'Average', label: 'messages of a batch' })] },
    ),
  );
  if (watched.consumerFunction) {
    const consumer = watched.consumerFunction;
    board.addWidgets(
      graph(
        'Consumer: errors and throttles',
        [consumer.metricErrors({ label: 'errors' }), consumer.metricThrottles({ label: 'throttles' })],
        { width: 12 },
      ),
      graph(
        'Consumers at once: each is one connection',
        [consumer.metric('ConcurrentExecutions', { statistic: 'Maximum', label: 'consumers' })],
        { width: 12 },
      ),
    );
  }
  if (watched.worker) {
    board.addWidgets(
      graph('Worker: CPU (%)', [watched.worker.metricCpuUtilization({ label: 'CPU' })], { width: 12 }),
      graph('Worker: memory (%)', [watched.worker.metricMemoryUtilization({ label: 'memory' })], {
        width: 12,
      }),
    );
  }

  board.addWidgets(
    text(
      '## Beside sign-ins\n**Good:** no failures; the ledger has 35 days or more ahead; no drift; no trigger missing. Drift is repaired by `user-sync reconcile --repair`.',
      2,
    ),
  );
  board.addWidgets(
    graph('Changes of users, and heartbeats', [
      metrics.lifecycle('published', { label: 'queued' }),
      metrics.lifecycle('failed', { label: 'to be tried again' }),
    ]),
    ...(watched.migrator
      ? [
          graph('Days that the ledger has ahead', [metrics.ledgerDaysAhead({ label: 'days' })], {
            leftAnnotations: [{ value: 35, label: 'alarm below', color: cloudwatch.Color.RED }],
          }),
        ]
      : []),
    ...(watched.driftFunction
      ? [graph('Users who differ from the pool', [metrics.drift({ label: 'users' })])]
      : []),
    ...(watched.isAttached ? [graph('Triggers that do not call us', triggerLines(watched, metrics))] : []),
  );
  if (watched.contexts) {
    for (const row of contextWidgets(graph, watched.contexts)) board.addWidgets(...row);
  }
  board.addWidgets(
    text(
      `Region ${Aws.REGION}. Queue \`${watched.queue.queueName}\`, dead letters \`${watched.deadLetterQueue.queueName}\`, ` +
        `trigger's log \`${watched.triggerFunction.logGroup.logGroupName}\`, trigger \`${watched.triggerFunction.functionArn}\`` +
        (watched.triggersParameter ? `, its parameter \`${watched.triggersParameter.parameterName}\`` : '') +
        '. When an alarm is red: docs/runbook.md.',
      2,
    ),
  );
  return board;
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

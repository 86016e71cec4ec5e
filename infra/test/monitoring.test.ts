/** What is watched by itself: each threshold, the actions, the interval of heartbeats. */
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, test } from 'node:test';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { LambdaAction, SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Monitoring, MonitoringProps } from '../lib/monitoring/monitoring';
import { AlarmThresholds } from '../lib/monitoring/thresholds';
import { Watched } from '../lib/monitoring/watched';
import { INFRA } from './support';

/* eslint-disable @typescript-eslint/no-explicit-any */
type Alarm = Record<string, any>;

const FUNCTIONS = [
  'triggerFunction',
  'consumerFunction',
  'lifecycleFunction',
  'triggerKeeper',
  'migrator',
  'driftFunction',
  'rowsFunction',
  'deploymentCheck',
  'auditFunction',
  'recordsFunction',
] as const;

/** Every part that there may be. */
function everything(stack: Stack): Watched {
  const made = FUNCTIONS.map((id) => {
    const props = { runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler' };
    return [id, new lambda.Function(stack, id, { ...props, code: lambda.Code.fromInline('-') })] as const;
  });
  const functions = Object.fromEntries(made) as Record<(typeof FUNCTIONS)[number], lambda.Function>;
  const queue = (id: string) => new sqs.Queue(stack, id);
  const { auditFunction, recordsFunction, ...others } = functions;
  const consumerService = functions.consumerFunction.functionName;
  return {
    ...others,
    queue: queue('queue'),
    deadLetterQueue: queue('deadLetterQueue'),
    isAttached: true,
    isChained: true,
    consumerService,
    lifecycleFailures: queue('lifecycleFailures'),
    driftInterval: Duration.days(1),
    contexts: {
      queue: queue('contextQueue'),
      deadLetterQueue: queue('contextDeadLetterQueue'),
      consumerService,
      records: {
        recordsFunction,
        failures: queue('failures'),
        raw: { queue: queue('raw'), deadLetterQueue: queue('rawDeadLetterQueue') },
      },
      auditFunction,
    },
  };
}

/** The alarms by their names, and the dashboard's text. */
function made(
  props: Partial<MonitoringProps> | ((stack: Stack) => Partial<MonitoringProps>) = {},
  without: (keyof Watched)[] = [],
) {
  const stack = new Stack(new App(), 'Watched');
  const watched = Object.fromEntries(
    Object.entries(everything(stack)).filter(([name]) => !without.includes(name as keyof Watched)),
  ) as unknown as Watched;
  const given = typeof props === 'function' ? props(stack) : props;
  const monitoring = new Monitoring(stack, 'M', {
    watched,
    heartbeatInterval: Duration.minutes(5),
    ...given,
  });
  const { Resources } = Template.fromStack(stack).toJSON();
  const alarms: Record<string, Alarm> = {};
  for (const alarm of monitoring.alarms)
    alarms[alarm.node.id] = Resources[stack.getLogicalId(alarm.node.defaultChild as any)].Properties;
  const dashboard = Object.values<any>(Resources).find(({ Type }) => Type === 'AWS::CloudWatch::Dashboard');
  return { alarms, dashboard: JSON.stringify(dashboard.Properties.DashboardBody), resources: Resources };
}

const usual = made().alarms;

describe('a threshold', () => {
  /** Each threshold with what it changes: of which alarm, which property, its default there, and what it is then. */
  const CHANGES: Record<keyof AlarmThresholds, [AlarmThresholds, string, string, number, number]> = {
    heartbeatIntervals: [{ heartbeatIntervals: 6 }, 'HeartbeatMissing', 'Period', 900, 1_800],
    undelivered: [{ undelivered: 2 }, 'Undelivered', 'Threshold', 0, 2],
    deadLetters: [{ deadLetters: 3 }, 'DeadLetters', 'Threshold', 0, 3],
    oldestMessage: [{ oldestMessage: Duration.minutes(30) }, 'OldestMessage', 'Threshold', 900, 1_800],
    freshness: [{ freshness: Duration.seconds(90) }, 'Freshness', 'Threshold', 300, 90],
    triggerErrors: [{ triggerErrors: 4 }, 'TriggerErrors', 'Threshold', 0, 4],
    triggerThrottles: [{ triggerThrottles: 5 }, 'TriggerThrottles', 'Threshold', 0, 5],
    triggerDuration: [{ triggerDuration: Duration.millis(800) }, 'TriggerDuration', 'Threshold', 4_000, 800],
    chainFailed: [{ chainFailed: 6 }, 'ChainFailed', 'Threshold', 0, 6],
    lifecycleFailures: [{ lifecycleFailures: 7 }, 'LifecycleFailures', 'Threshold', 0, 7],
    consumerErrors: [{ consumerErrors: 8 }, 'ConsumerErrors', 'Threshold', 0, 8],
    ledgerAhead: [{ ledgerAhead: Duration.days(20) }, 'LedgerHorizon', 'Threshold', 35, 20],
    drift: [{ drift: 9 }, 'Drift', 'Threshold', 0, 9],
    contextDeadLetters: [{ contextDeadLetters: 10 }, 'ContextDeadLetters', 'Threshold', 0, 10],
    oldestContext: [{ oldestContext: Duration.hours(6) }, 'OldestContext', 'Threshold', 3_600, 21_600],
    signInRecordFailures: [{ signInRecordFailures: 11 }, 'SignInRecordFailures', 'Threshold', 0, 11],
    loginsUnaccounted: [{ loginsUnaccounted: 12 }, 'LoginsUnaccounted', 'Threshold', 0, 12],
    auditHours: [{ auditHours: 5 }, 'AuditFails', 'EvaluationPeriods', 3, 5],
  };

  for (const [name, [thresholds, alarm, property, before, after]] of Object.entries(CHANGES)) {
    test(`${name} changes ${alarm}, and no other alarm`, () => {
      const { alarms } = made({ thresholds });
      assert.deepEqual([usual[alarm]![property], alarms[alarm]![property]], [before, after]);
      const changed = Object.keys(alarms).filter(
        (id) => JSON.stringify(alarms[id]) !== JSON.stringify(usual[id]),
      );
      assert.deepEqual(changed, [alarm]);
    });
  }

  test('of the trigger’s duration is lower where no former trigger is waited for', () => {
    const without = made({}, ['isChained']).alarms;
    assert.deepEqual([without.TriggerDuration!.Threshold, without.ChainFailed], [2_500, undefined]);
  });

  test('is in what the alarm says', () => {
    const { alarms, dashboard } = made({
      thresholds: {
        oldestMessage: Duration.minutes(90),
        freshness: Duration.days(1),
        ledgerAhead: Duration.days(20),
      },
    });
    assert.match(alarms.OldestMessage!.AlarmDescription, /for more than 90 minutes:/);
    assert.match(alarms.Freshness!.AlarmDescription, /more than 1 day to its row/);
    assert.match(alarms.LedgerHorizon!.AlarmDescription, /for fewer than 20 days ahead/);
    assert.match(dashboard, /has 20 days or more ahead/);
  });

  test('of what was not made is refused, with why', () => {
    const refused: [AlarmThresholds, keyof Watched, RegExp][] = [
      [
        { chainFailed: 1 },
        'isChained',
        /chainFailed is "1": it must be left out, since no function is chained/,
      ],
      [{ consumerErrors: 1 }, 'consumerFunction', /since the consumer is no function/],
      [
        { ledgerAhead: Duration.days(20) },
        'migrator',
        /ledgerAhead is .*since migrations is Migrations\.SKIP/,
      ],
      [{ drift: 0 }, 'driftFunction', /since driftCheck is DriftCheck\.none\(\)/],
      [{ contextDeadLetters: 1 }, 'contexts', /since there is no queue of contexts/],
      [{ auditHours: 2 }, 'contexts', /since loginContext has no source/],
    ];
    for (const [thresholds, part, message] of refused)
      assert.throws(() => made({ thresholds }, [part]), message);
  });

  test('that cannot be is refused by name', () => {
    const refused: [AlarmThresholds, RegExp][] = [
      [{ heartbeatIntervals: 1 }, /alarmThresholds\.heartbeatIntervals is 1: it must be .* from 2 to 24/],
      [{ deadLetters: -1 }, /alarmThresholds\.deadLetters is -1/],
      [{ drift: 0.5 }, /alarmThresholds\.drift is 0\.5: it must be a whole number/],
      [
        { freshness: Duration.millis(1_500) },
        /alarmThresholds\.freshness in seconds is 1\.5: it must be a whole number from 1/,
      ],
      [{ oldestMessage: Duration.seconds(59) }, /alarmThresholds\.oldestMessage in seconds is 59/],
      [
        { triggerDuration: Duration.seconds(6) },
        /alarmThresholds\.triggerDuration in milliseconds is 6000: .* from 100 to 5000/,
      ],
      [{ ledgerAhead: Duration.hours(36) }, /alarmThresholds\.ledgerAhead in days is 1\.5/],
      [{ auditHours: 25 }, /alarmThresholds\.auditHours is 25: it must be a whole number from 1 to 24/],
    ];
    for (const [thresholds, message] of refused) assert.throws(() => made({ thresholds }), message);
  });
});

test('all actions are done when an alarm is raised, and when it is over', () => {
  const { alarms, resources } = made((stack) => {
    const handler = new lambda.Function(stack, 'Handler', {
      runtime: lambda.Runtime.NODEJS_22_X,
      handler: 'index.handler',
      code: lambda.Code.fromInline('-'),
    });
    return {
      alarmActions: [
        new SnsAction(new sns.Topic(stack, 'Topic')),
        new LambdaAction(handler, { useUniquePermissionId: true }),
      ],
    };
  });
  assert.deepEqual(Object.keys(alarms).sort(), Object.keys(usual).sort());
  for (const [id, { AlarmActions, OKActions }] of Object.entries(alarms)) {
    assert.equal(AlarmActions.length, 2, id);
    assert.deepEqual(AlarmActions, OKActions, id);
    assert.equal(resources[AlarmActions[0].Ref].Type, 'AWS::SNS::Topic', id);
    assert.equal(resources[AlarmActions[1]['Fn::GetAtt'][0]].Type, 'AWS::Lambda::Function', id);
  }
  for (const { AlarmActions, OKActions } of Object.values(usual))
    assert.deepEqual([AlarmActions, OKActions], [undefined, undefined]);
});

describe('the interval of heartbeats', () => {
  const every = (minutes: number) => made({ heartbeatInterval: Duration.minutes(minutes) });

  test('sets how long silence is borne, and what the dashboard calls good', () => {
    for (const [minutes, period, spoken, hourly] of [
      [1, 180, '3 minutes', 60],
      [5, 900, '15 minutes', 12],
      [7, 1_260, '21 minutes', 8],
      [60, 10_800, '3 hours', 1],
    ] as const) {
      const { alarms, dashboard } = every(minutes);
      const { Period, EvaluationPeriods, TreatMissingData, AlarmDescription } = alarms.HeartbeatMissing!;
      assert.deepEqual([Period, EvaluationPeriods, TreatMissingData], [period, 1, 'breaching']);
      assert.ok(AlarmDescription.includes(`for ${spoken}: users are not synced`), AlarmDescription);
      assert.ok(dashboard.includes(`heartbeats are ${hourly} an hour`), `${minutes}`);
      assert.ok(dashboard.includes(`Does anything get through? Good: ${hourly}`), `${minutes}`);
    }
  });

  test('keeps the alarm on triggers from ending between two looks', () => {
    for (const [minutes, periods] of [
      [1, 4],
      [5, 12],
      [60, 122],
    ] as const) {
      const { TriggersMissing, TriggersNotPutBack } = every(minutes).alarms;
      assert.equal(TriggersMissing!.EvaluationPeriods, periods);
      assert.equal(TriggersMissing!.DatapointsToAlarm, 1);
      // The keeper looks every 5 minutes all the same.
      assert.equal(TriggersNotPutBack!.EvaluationPeriods, 12);
    }
  });

  test('evaluates no more than CloudWatch does', () => {
    // "Period and EvaluationPeriods", PutMetricAlarm: seven days where the period is an hour or more, else one.
    const { alarms } = made({
      heartbeatInterval: Duration.hours(1),
      thresholds: { heartbeatIntervals: 24, auditHours: 24 },
    });
    for (const [id, { Metrics = [], EvaluationPeriods, Period }] of Object.entries(alarms)) {
      const period: number =
        Period ?? Math.max(...Metrics.flatMap(({ MetricStat }: any) => MetricStat?.Period ?? []));
      assert.ok(period * EvaluationPeriods <= (period >= 3_600 ? 7 : 1) * 86_400, id);
    }
  });

  test('is refused where it is none of a schedule’s', () => {
    for (const interval of [Duration.seconds(90), Duration.seconds(30), Duration.minutes(61)])
      assert.throws(
        () => made({ heartbeatInterval: interval }),
        new RegExp(`heartbeatInterval is "${interval.toSeconds()} s": it must be whole minutes from 1 to 60`),
      );
  });
});

describe('who reads the rows for the drift check', () => {
  test('is in the check’s alarms: a failure rings before the next check is due', () => {
    const { DriftCheckFails, DriftCheckMissing } = usual;
    const expression = DriftCheckFails!.Metrics.find(({ Expression }: any) => Expression);
    assert.equal(expression.Expression, 'IF(FILL(done, 0) > 0, 0, FILL(check, 0) + FILL(rows, 0))');
    const metric = (id: string) => DriftCheckFails!.Metrics.find(({ Id }: any) => Id === id).MetricStat;
    assert.deepEqual([metric('rows').Metric.MetricName, metric('rows').Stat], ['Errors', 'Sum']);
    assert.match(metric('rows').Metric.Dimensions[0].Value.Ref, /^rowsFunction/);
    assert.match(metric('check').Metric.Dimensions[0].Value.Ref, /^driftFunction/);
    assert.deepEqual([metric('done').Metric.MetricName, metric('done').Stat], ['drift', 'SampleCount']);
    for (const { AlarmDescription } of [DriftCheckFails!, DriftCheckMissing!])
      assert.match(AlarmDescription, /the log of the function Rows/);
  });

  test('is named only where there is one', () => {
    const { alarms, dashboard } = made({}, ['rowsFunction', 'deploymentCheck']);
    const expression = alarms.DriftCheckFails!.Metrics.find(({ Expression }: any) => Expression);
    assert.equal(expression.Expression, 'IF(FILL(done, 0) > 0, 0, FILL(check, 0))');
    assert.doesNotMatch(alarms.DriftCheckMissing!.AlarmDescription, /Rows/);
    assert.ok(!dashboard.includes('deployment check') && !dashboard.includes('rowsFunction'));
    const shown = made().dashboard;
    assert.ok(shown.includes('deployment check') && shown.includes('Ref":"rowsFunction'));
  });
});

test('all alarms say what to do by a section that the runbook has', () => {
  const runbook = fs.readFileSync(path.join(INFRA, '..', 'docs', 'runbook.md'), 'utf8');
  const sections = [...runbook.matchAll(/^### (.*)$/gm)].map(([, title]) => title);
  assert.equal(Object.keys(usual).length, 23);
  for (const [id, { AlarmDescription }] of Object.entries(usual)) {
    const said = /docs\/runbook\.md, "([^"]+)"\.$/.exec(AlarmDescription);
    assert.ok(said && sections.includes(said[1]!), id);
    assert.ok(runbook.includes(`\`${id}\``), `the runbook's table has no ${id}`);
  }
});

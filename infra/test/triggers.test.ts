/** The pool goes on calling the trigger: who looks, who puts back, and what a deployment does. */
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { before, describe, test } from 'node:test';
import { App, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as iam from 'aws-cdk-lib/aws-iam';
import { CognitoUserSync, PoolTriggers } from '../lib';
import { dist, INFRA } from './support';
import { matches, Questions, transformed } from './template';
import { sync, variants } from './variants';

process.env.CDK_VALIDATION = 'false';

const code = dist();
const all = new Map<string, Questions & { sync: CognitoUserSync }>();
const of = (variant: string) => all.get(variant)!;
const RULE = 'SyncLifecyclePoolChanges';
const RESOURCE = 'Custom::UserSyncPoolTriggers';

before(() => {
  for (const [name, { stack, sync }] of variants(new App(), code))
    all.set(name, Object.assign(new Questions(Template.fromStack(stack)), { sync }));
});

/** A stack that the context says something of. */
function stackOf(context: Record<string, unknown>, built = code): Questions {
  const stack = new Stack(new App({ context }), 'Stack');
  sync(stack, built);
  return new Questions(Template.fromStack(stack));
}

const arn = (questions: Questions, name: string) => ({
  'Fn::GetAtt': [questions.ids('AWS::Lambda::Function', `Sync${name}Function`)[0], 'Arn'],
});

/** What a rule invokes, by the input that it gives. */
const invoked = (questions: Questions, rule: string) =>
  questions
    .properties('AWS::Events::Rule', rule)
    .Targets.map(({ Arn, Input }: any) => [Arn, Input && JSON.parse(Input)]);

describe('a change of the pool', () => {
  const called = (eventName: string, userPoolId: string) => ({
    source: 'aws.cognito-idp',
    'detail-type': 'AWS API Call via CloudTrail',
    detail: { eventSource: 'cognito-idp.amazonaws.com', eventName, requestParameters: { userPoolId } },
  });

  test('is looked at at once, of this pool and its replicas, also where users are not followed', () => {
    for (const name of ['ImportedPool', 'LifecycleOff', 'Keep']) {
      const { EventPattern } = of(name).properties('AWS::Events::Rule', RULE);
      const changes = [
        'UpdateUserPool',
        ...['Create', 'Update', 'Delete'].map((call) => `${call}UserPoolReplica`),
      ];
      for (const change of changes) {
        assert.ok(matches(EventPattern, called(change, `eu-west-1_${name}`)), `${name}: ${change}`);
        assert.ok(!matches(EventPattern, called(change, 'eu-west-1_Other')), `${name}: ${change}`);
      }
      assert.ok(!matches(EventPattern, called('DescribeUserPool', `eu-west-1_${name}`)), name);
      const [lifecycle] = invoked(of(name), RULE);
      assert.deepEqual(lifecycle, [arn(of(name), 'Lifecycle'), undefined], name);
    }
    const own = of('OwnPool').properties('AWS::Events::Rule', RULE).EventPattern.detail.requestParameters;
    assert.deepEqual(own.userPoolId, [{ Ref: of('OwnPool').ids('AWS::Cognito::UserPool', 'Pool')[0] }]);
    assert.deepEqual(of('OutputOnly').ids('AWS::Events::Rule', RULE), []);
  });

  test('that could not be handed over is kept', () => {
    const [lifecycle] = of('Keep').properties('AWS::Events::Rule', RULE).Targets;
    const [failures] = of('Keep').ids('AWS::SQS::Queue', 'SyncLifecycleFailures');
    assert.deepEqual(lifecycle.DeadLetterConfig, { Arn: { 'Fn::GetAtt': [failures, 'Arn'] } });
  });

  test('is looked at when the triggers are set, and not before, as with each heartbeat', () => {
    for (const [name, questions] of all) {
      const [resource] = questions.ids(RESOURCE);
      assert.equal(resource === undefined, name === 'OutputOnly', name);
      if (!resource) continue;
      const rules = questions
        .ids('AWS::Events::Rule')
        .filter((id) => /^Sync(Lifecycle(PoolChanges|Heartbeat)|TriggerKeeperSchedule)/.test(id));
      assert.equal(rules.length, questions.sync.triggerKeeper ? 3 : 2, name);
      for (const id of rules)
        assert.ok(questions.resources[id]!.DependsOn!.includes(resource), `${name}: ${id}`);
    }
  });
});

describe('a deployment', () => {
  test('asks for the triggers each time, unless the context says which deployment it is', async () => {
    const deployment = (questions: Questions) => questions.properties(RESOURCE, 'Sync').Deployment;
    const first = deployment(stackOf({}));
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.notEqual(deployment(stackOf({})), first);
    const [one, other] = [1, 1].map((userSyncDeployment) => stackOf({ userSyncDeployment }));
    assert.equal(deployment(one!), '1');
    assert.deepEqual(one!.resources, other!.resources, 'nothing else differs with the time');
    const built = dist();
    fs.writeFileSync(path.join(built, 'lambda', 'user-sync-operator', 'bootstrap'), 'another');
    const again = stackOf({ userSyncDeployment: 1 }, built).properties(RESOURCE, 'Sync');
    assert.notEqual(again.Code, one!.properties(RESOURCE, 'Sync').Code, 'a new build asks');
  });

  test('asks of a pool of the same stack, too, which CloudFormation would not set again', () => {
    for (const name of ['OwnPool', 'KeepOwnPool']) {
      const resource = of(name).one(RESOURCE, 'Sync');
      assert.ok(resource.DependsOn!.includes(of(name).ids('AWS::Cognito::UserPool', 'Pool')[0]!), name);
      assert.ok(resource.Properties.Deployment, name);
    }
  });

  test('that is rolled back or taken away leaves the triggers of a pool that ends with its stack', () => {
    const policies = (name: string) => {
      const { DeletionPolicy, UpdateReplacePolicy } = of(name).one(RESOURCE, 'Sync');
      return [DeletionPolicy, UpdateReplacePolicy];
    };
    assert.deepEqual(policies('ChainedOwnPool'), ['Retain', 'Retain']);
    // What the keeper puts back while it is being taken away is taken out again.
    for (const name of ['OwnPool', 'ImportedPool', 'Keep', 'KeepOwnPool'])
      assert.deepEqual(policies(name), ['Delete', 'Delete'], name);
  });

  test('may pass on what a pool of the same stack sends SMS and encrypts its codes with', () => {
    const questions = of('KeepOwnPool');
    const resources = (role: string, wanted: string) =>
      questions
        .statements(role)
        .filter(({ Action }) => Action === wanted)
        .map(({ Resource }) => Resource);
    const [sms] = Object.keys(questions.resources).filter((id) => id.startsWith('PoolsmsRole'));
    const [key] = questions.ids('AWS::KMS::Key', 'Sender');
    for (const role of ['SyncPoolTriggersFunctionRole', 'SyncTriggerKeeperFunctionRole']) {
      assert.deepEqual(resources(role, 'iam:PassRole'), [{ 'Fn::GetAtt': [sms, 'Arn'] }], role);
      assert.deepEqual(resources(role, 'kms:CreateGrant'), [{ 'Fn::GetAtt': [key, 'Arn'] }], role);
    }
  });
});

describe('the keeper', () => {
  test('is there only if it is asked for', () => {
    for (const [name, questions] of all) {
      const keeps = /^Keep|^(FargatePublic|ConsoleActs)$/.test(name);
      assert.equal(questions.ids('AWS::SSM::Parameter').length, keeps ? 1 : 0, name);
      assert.equal(questions.ids('AWS::Lambda::Function', 'SyncTriggerKeeper').length, keeps ? 1 : 0, name);
      assert.equal(questions.sync.triggerKeeper !== undefined, keeps, name);
      assert.equal(questions.sync.triggersParameter !== undefined, keeps, name);
    }
  });

  test('is told what it may set, that it may, and where the hold is', () => {
    for (const name of ['Keep', 'KeepOwnPool']) {
      const [parameter] = of(name).ids('AWS::SSM::Parameter');
      const { USER_SYNC_OPERATION: _, ...pinned } = of(name).environment('PoolTriggers');
      assert.deepEqual(
        of(name).environment('TriggerKeeper'),
        {
          ...pinned,
          USER_SYNC_OPERATION: 'keep-triggers',
          USER_SYNC_KEEP_TRIGGERS: 'true',
          USER_SYNC_TRIGGERS_PARAMETER: { Ref: parameter },
        },
        name,
      );
      assert.deepEqual(pinned.USER_SYNC_TRIGGER_ARN, arn(of(name), 'Trigger'), name);
      const { VpcConfig, Timeout } = of(name).function('TriggerKeeper');
      assert.deepEqual([VpcConfig, Timeout], [undefined, 180], name);
      of(name).template.hasOutput('*', { Value: { Ref: parameter } });
    }
  });

  test('may do what sets the triggers may, and read and write one parameter', () => {
    for (const name of ['Keep', 'KeepOwnPool']) {
      const may = (role: string) =>
        of(name)
          .allowed(role)
          .filter((action) => !action.startsWith('logs:'));
      assert.deepEqual(
        may('SyncTriggerKeeperFunctionRole'),
        [...may('SyncPoolTriggersFunctionRole'), 'ssm:GetParameter', 'ssm:PutParameter'],
        name,
      );
      const [parameter] = of(name).ids('AWS::SSM::Parameter');
      const used = of(name)
        .statements('SyncTriggerKeeperFunctionRole')
        .filter(({ Action }) => JSON.stringify(Action).includes('ssm:'));
      assert.equal(used.length, 1, name);
      // IAM's resource is the name, without the version that is asked for.
      assert.match(
        JSON.stringify(used[0]!.Resource),
        new RegExp(`:parameter/",\\{"Ref":"${parameter}"\\}\\]\\]\\}$`),
        name,
      );
    }
  });

  test('looks when the pool is changed, and every 5 minutes', () => {
    const keeper = arn(of('Keep'), 'TriggerKeeper');
    assert.deepEqual(invoked(of('Keep'), RULE), [
      [arn(of('Keep'), 'Lifecycle'), undefined],
      [keeper, undefined],
    ]);
    const { ScheduleExpression } = of('Keep').properties('AWS::Events::Rule', 'SyncTriggerKeeperSchedule');
    assert.equal(ScheduleExpression, 'rate(5 minutes)');
    assert.deepEqual(invoked(of('Keep'), 'SyncTriggerKeeperSchedule'), [[keeper, { keep: true }]]);
    const { MaximumRetryAttempts } = of('Keep').properties(
      'AWS::Lambda::EventInvokeConfig',
      'SyncTriggerKeeper',
    );
    assert.equal(MaximumRetryAttempts, 1);
  });

  test('has a hold that no deployment ends: the template says nothing that differs', () => {
    const parameter = (stack: Stack) =>
      new Questions(Template.fromStack(stack)).one('AWS::SSM::Parameter', 'Sync').Properties;
    const made = [1, 2].map((userSyncDeployment) => {
      const stack = new Stack(new App({ context: { userSyncDeployment } }), 'Stack');
      sync(stack, code, { triggers: PoolTriggers.attach({ keep: true }) });
      return parameter(stack);
    });
    assert.deepEqual(made[0], made[1]);
    // CloudFormation writes the value anew with any change: this line is here so that it is not made lightly.
    assert.deepEqual(made[0], {
      Description:
        "Whether the user pool's triggers are put back, and when they were missing (user-sync triggers)",
      Type: 'String',
      Value: '{}',
    });
  });

  /** All that it consists of, but its log. */
  const PARTS = /^Sync(TriggerKeeper(?!Log)|LifecyclePoolChangesAllow.*TriggerKeeper)/;
  const parts = (questions: Questions) =>
    Object.keys(questions.resources)
      .filter((id) => PARTS.test(id))
      .sort();

  test('is made after the triggers are set, and gone before they are taken away, with its rights', () => {
    for (const name of ['Keep', 'KeepOwnPool']) {
      const questions = of(name);
      const [resource] = questions.ids(RESOURCE);
      const types = parts(questions).map((id) => questions.resources[id]!.Type.split('::').slice(1).join());
      // Two rules may invoke it.
      const made = ['Function', 'EventInvokeConfig', 'Permission', 'Permission'].map(
        (type) => `Lambda,${type}`,
      );
      assert.deepEqual(
        types.sort(),
        [...made, 'IAM,Role', 'IAM,Policy', 'SSM,Parameter', 'Events,Rule'].sort(),
        name,
      );
      for (const id of [...parts(questions), ...questions.ids('AWS::Events::Rule', RULE)])
        assert.ok(questions.waitsFor(id).has(resource!), `${name}: ${id}`);
      const setter = Object.keys(questions.resources).filter((id) =>
        /^Sync(PoolTriggers|Trigger)(Function(?!Role[0-9A-F]{8}$)|Permission)/.test(id),
      );
      // Both functions with their rights, and what permits Cognito.
      assert.equal(setter.length, 5, name);
      for (const id of setter)
        assert.ok(questions.waitsFor(resource!).has(id), `${name}: ${id} is there when they are taken away`);
    }
  });

  /** A stack before and after the triggers are set in another way, at the same moment. */
  const changed = (isOwn: boolean, triggers: PoolTriggers) =>
    [PoolTriggers.attach({ keep: true }), triggers].map((triggers) => {
      const stack = new Stack(new App({ context: { userSyncDeployment: 1 } }), 'Stack');
      sync(stack, code, { triggers, ...(isOwn && { userPool: new cognito.UserPool(stack, 'Pool') }) });
      return new Questions(Template.fromStack(stack));
    }) as [Questions, Questions];
  const gone = (before: Questions, after: Questions) =>
    Object.keys(before.resources)
      .filter((id) => !after.resources[id])
      .sort();

  test('that is left out takes nothing with it: the pool goes on calling the trigger', () => {
    for (const isOwn of [false, true]) {
      const [before, after] = changed(isOwn, PoolTriggers.attach());
      const without = gone(before, after).filter((id) => !/^SyncTriggerKeeperLog|^SyncMonitoring/.test(id));
      assert.deepEqual(without, parts(before));
      const same = [
        ...before.ids(RESOURCE),
        ...before.ids('AWS::Lambda::Function', 'SyncTriggerFunction'),
        ...before.ids(
          'AWS::Lambda::Permission',
          isOwn ? 'SyncTriggerPermission' : 'SyncPoolTriggersPermission',
        ),
        ...before.ids('AWS::Cognito::UserPool', 'Pool'),
      ];
      assert.equal(same.length, isOwn ? 4 : 3);
      for (const id of same) assert.deepEqual(after.resources[id], before.resources[id], id);
      assert.deepEqual(invoked(after, RULE), [[arn(after, 'Lifecycle'), undefined]]);
    }
  });

  test('goes before the triggers do, and leaves no pool with a function that it may not call', () => {
    for (const isOwn of [false, true]) {
      const [before, after] = changed(isOwn, PoolTriggers.outputOnly());
      const [resource] = before.ids(RESOURCE);
      const without = gone(before, after);
      // Its deletion takes out what was put back since CloudFormation changed the pool.
      for (const id of [resource!, ...parts(before)]) assert.ok(without.includes(id), id);
      assert.equal(before.resources[resource!]!.DeletionPolicy, 'Delete');
      for (const id of parts(before)) assert.ok(before.waitsFor(id).has(resource!), id);
      const [pool] = before.ids('AWS::Cognito::UserPool', 'Pool');
      assert.equal(pool && after.resources[pool]!.Properties.LambdaConfig, undefined);
      // Until then the pool may call it, and afterwards by a permission that is made before this one goes.
      assert.ok(!without.some((id) => /^SyncTriggerFunction/.test(id)));
      const { FunctionName, SourceArn } = after.properties(
        'AWS::Lambda::Permission',
        'SyncPoolTriggersPermission',
      );
      assert.deepEqual(FunctionName, arn(after, 'Trigger'));
      const named = isOwn ? `"Fn::GetAtt":["${pool}","Arn"]` : 'userpool/eu-west-1_';
      assert.ok(JSON.stringify(SourceArn).includes(named), JSON.stringify(SourceArn));
    }
  });

  test('cannot be had of a pool that is deleted with its stack, whose triggers nobody takes away', () => {
    const deleted = (triggers: PoolTriggers) => {
      const stack = new Stack(new App(), 'Stack');
      const userPool = new cognito.UserPool(stack, 'Pool', { removalPolicy: RemovalPolicy.DESTROY });
      return sync(stack, code, { userPool, triggers });
    };
    assert.throws(
      () => deleted(PoolTriggers.attach({ keep: true })),
      /CognitoUserSync: .*keep: true.* deleted with its stack: .*RemovalPolicy\.RETAIN, or leave keep out/,
    );
    assert.ok(deleted(PoolTriggers.attach({ keep: false })));
  });

  test('is held by whom that is granted', () => {
    const stack = new Stack(new App(), 'Operators');
    const made = sync(stack, code, { triggers: PoolTriggers.attach({ keep: true }) });
    made.grantHold(new iam.Role(stack, 'OnCall', { assumedBy: new iam.AccountRootPrincipal() }));
    assert.deepEqual(new Questions(Template.fromStack(stack)).allowed('OnCall'), [
      'ssm:GetParameter',
      'ssm:PutParameter',
    ]);
    const plain = new Stack(new App(), 'Plain');
    const role = new iam.Role(plain, 'OnCall', { assumedBy: new iam.AccountRootPrincipal() });
    assert.throws(() => sync(plain, code).grantHold(role), /there is nothing to hold: .* keep: true/);
  });
});

describe('the alarms', () => {
  const alarm = (name: string, id: string) =>
    of(name).properties('AWS::CloudWatch::Alarm', `SyncMonitoring${id}`);
  const stats = (name: string, id: string) =>
    Object.fromEntries(
      alarm(name, id)
        .Metrics.filter(({ MetricStat }: any) => MetricStat)
        .map(({ Id, MetricStat }: any) => [Id, MetricStat]),
    );
  const service = (name: string, of_: string) => ({
    Name: 'service',
    Value: { Ref: of(name).ids('AWS::Lambda::Function', `Sync${of_}Function`)[0] },
  });

  test('ring in the minute of a look that misses a trigger, and until two looks have missed none', () => {
    const { Period, Statistic, EvaluationPeriods, DatapointsToAlarm, Threshold, Dimensions } = alarm(
      'ImportedPool',
      'TriggersMissing',
    );
    assert.deepEqual([Period, Statistic, DatapointsToAlarm, Threshold], [60, 'Maximum', 1, 0]);
    assert.ok(EvaluationPeriods > 10 && EvaluationPeriods < 15);
    assert.deepEqual(Dimensions, [service('ImportedPool', 'Lifecycle')]);
  });

  test('count what the keeper saw, which may have put it back before anybody else looked', () => {
    const { Metrics, DatapointsToAlarm } = alarm('Keep', 'TriggersMissing');
    assert.equal(DatapointsToAlarm, 1);
    const [{ Expression }] = Metrics.filter(({ ReturnData }: any) => ReturnData !== false);
    assert.equal(Expression, 'MAX([FILL(lifecycle, 0), FILL(keeper, 0)])');
    const { lifecycle, keeper } = stats('Keep', 'TriggersMissing');
    for (const [stat, who] of [
      [lifecycle, 'Lifecycle'],
      [keeper, 'TriggerKeeper'],
    ] as const) {
      assert.deepEqual([stat.Period, stat.Stat, stat.Metric.MetricName], [60, 'Maximum', 'triggers_missing']);
      assert.deepEqual(stat.Metric.Dimensions, [service('Keep', who)]);
    }
  });

  test('say that nothing is put back, for each reason there is', () => {
    const { Metrics, AlarmDescription, DatapointsToAlarm } = alarm('Keep', 'TriggersNotPutBack');
    const [{ Expression }] = Metrics.filter(({ ReturnData }: any) => ReturnData !== false);
    const { errors, ...counted } = stats('Keep', 'TriggersNotPutBack');
    assert.deepEqual(Object.keys(counted).sort(), ['failed', 'foreign', 'held', 'limit', 'parameter']);
    for (const [reason, { Metric, Stat, Period }] of Object.entries<any>(counted)) {
      assert.deepEqual([Metric.MetricName, Stat, Period], ['triggers_not_put_back', 'Sum', 60]);
      assert.deepEqual(Metric.Dimensions, [
        { Name: 'reason', Value: reason },
        service('Keep', 'TriggerKeeper'),
      ]);
      assert.ok(Expression.includes(`FILL(${reason}, 0)`), Expression);
    }
    assert.deepEqual([errors.Metric.Namespace, errors.Metric.MetricName], ['AWS/Lambda', 'Errors']);
    assert.match(Expression, /^SUM\(\[.*FILL\(errors, 0\)/);
    assert.equal(DatapointsToAlarm, 1);
    assert.match(AlarmDescription, /nobody puts them back/);
  });

  test('have their lines on the dashboard', () => {
    const shown = (name: string) =>
      JSON.stringify(
        of(name).properties('AWS::CloudWatch::Dashboard', 'SyncMonitoringDashboard').DashboardBody,
      );
    assert.match(shown('Keep'), /Triggers that do not call us.*triggers_put_back.*triggers_not_put_back/);
    assert.match(shown('ImportedPool'), /Triggers that do not call us/);
    // What whoever is on call needs for `user-sync triggers`.
    const [parameter] = of('Keep').ids('AWS::SSM::Parameter');
    for (const named of [{ Ref: parameter }, arn(of('Keep'), 'Trigger')])
      assert.ok(shown('Keep').includes(JSON.stringify(named)), JSON.stringify(named));
    assert.doesNotMatch(shown('ImportedPool'), /put_back/);
    assert.doesNotMatch(shown('OutputOnly'), /Triggers that do not call us/);
  });
});

describe('a drift check that is not finished', () => {
  const rule = () => of('ImportedPool').properties('AWS::Events::Rule', 'SyncDriftGoesOn');
  /** As AWS documents a destination's event. */
  const answered = (responsePayload: unknown, functionArn: unknown) => ({
    source: 'lambda',
    'detail-type': 'Lambda Function Invocation Result - Success',
    detail: {
      requestContext: { functionArn, condition: 'Success', approximateInvokeCount: 1 },
      requestPayload: { drift: true },
      responseContext: { statusCode: 200, executedVersion: '$LATEST' },
      responsePayload,
    },
  });
  const latest = () => ({ 'Fn::Join': ['', [arn(of('ImportedPool'), 'Drift'), ':$LATEST']] });

  test('goes on with what its answer says, and only then', () => {
    const unfinished = { started_at: '2026-01-31T08:30:00Z', next: '0a', tally: { users: 7 } };
    const event = answered({ compared: 7, rows: 7, unfinished }, latest());
    const { EventPattern, Targets } = rule();
    assert.ok(matches(EventPattern, event));
    assert.equal(Targets.length, 1);
    assert.deepEqual(Targets[0].Arn, arn(of('ImportedPool'), 'Drift'));
    assert.deepEqual(transformed(Targets[0].InputTransformer, event), { drift: unfinished });
    assert.ok(!matches(EventPattern, answered({ toRepair: 0, compared: 7, rows: 7 }, latest())));
    assert.ok(!matches(EventPattern, answered(null, latest())));
    assert.ok(!matches(EventPattern, answered({ unfinished }, 'another function')));
  });

  test('gives up when the schedule has begun the next one', () => {
    for (const [name, seconds] of [
      ['ImportedPool', 86_400],
      ['Endpoints', 129_600],
    ] as const)
      assert.equal(of(name).environment('Drift').USER_SYNC_DRIFT_INTERVAL_SECONDS, String(seconds), name);
  });

  test('is known by a member that the program’s answer always has', () => {
    const source = (...names: string[]) => fs.readFileSync(path.join(INFRA, '..', 'src', ...names), 'utf8');
    const answer = source('ops', 'deployment', 'drift.rs');
    assert.match(answer, /fn unfinished\(&self, mut walk: RangeWalk\)/);
    assert.match(answer, /"unfinished": serde_json::to_value\(walk\)/);
    const [, members] = /Serialize[^)]*\)\]\npub struct RangeWalk \{([^}]+)\}/.exec(
      source('cognito', 'reconcile', 'ranges.rs'),
    )!;
    const { unfinished, ...others } = rule().EventPattern.detail.responsePayload;
    assert.deepEqual(others, {});
    assert.equal(Object.keys(unfinished).length, 1);
    // A text, which is a leaf, and no `Option`; directly under the comment of its own: nothing calls it otherwise, or
    // leaves it out.
    for (const member of Object.keys(unfinished))
      assert.match(members!, new RegExp(`\\n\\s*///[^\\n]*\\n\\s*pub ${member}: Timestamp,`));
    assert.doesNotMatch(source('cognito', 'reconcile', 'ranges.rs'), /serde\(rename_all/);
  });

  test('is told of by the function’s answers, which Lambda sends to the default bus', () => {
    for (const [name, questions] of all) {
      const configs = questions.ids('AWS::Lambda::EventInvokeConfig', 'SyncDrift');
      const isOff = questions.sync.driftFunction === undefined;
      assert.equal(configs.length, isOff ? 0 : 1, name);
      if (isOff) continue;
      const { DestinationConfig } = questions.resources[configs[0]!]!.Properties;
      const bus = DestinationConfig.OnSuccess.Destination;
      assert.match(JSON.stringify(bus), /:events:.*:event-bus\/default"/, name);
      const puts = questions
        .statements('SyncDriftFunctionRole')
        .filter(({ Action }) => Action === 'events:PutEvents');
      assert.deepEqual(
        puts.map(({ Resource }) => Resource),
        [bus],
        name,
      );
      assert.equal(questions.function('Drift').RecursiveLoop, 'Allow', name);
    }
    assert.deepEqual(of('DriftOff').ids('AWS::Events::Rule', 'SyncDrift'), []);
  });
});

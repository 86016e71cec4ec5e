/** Where logins came from: the queue of contexts, the sources, the audit; and nothing of it where it is not asked for. */
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import {
  CognitoUserSync,
  CognitoUserSyncProps,
  DatabaseAuth,
  DriftCheck,
  LoginContext,
  Migrations,
  PoolTriggers,
} from '../lib';
import { dist, INFRA } from './support';
import { asList, matches, Questions } from './template';
import { sync, variants } from './variants';

// CDK's own validation is the CLI's test's, which synthesises the same.
process.env.CDK_VALIDATION = 'false';

const code = dist();
const all = new Map<string, Questions & { sync: CognitoUserSync }>();
const of = (variant: string) => all.get(variant)!;

/** The variants with a queue of contexts, and those of them with a source. */
const SOURCES = ['LoginContext', 'LoginContextCloudTrail', 'FargateThreatProtection'];
const QUEUES = [...SOURCES, 'ContextQueue', 'ConsoleActs'];
const TRAILS = ['LoginContext', 'LoginContextCloudTrail'];

before(() => {
  for (const [name, { stack, sync }] of variants(new App(), code))
    all.set(name, Object.assign(new Questions(Template.fromStack(stack)), { sync }));
});

after(() => fs.rmSync(code, { recursive: true }));

function made(
  changes: Partial<CognitoUserSyncProps>,
  grant?: (sync: CognitoUserSync, to: iam.Role) => void,
  vpc?: (stack: Stack) => ec2.IVpc,
) {
  const stack = new Stack(new App({ context: { userSyncDeployment: 'now' } }), 'Made');
  const to = new iam.Role(stack, 'Backend', { assumedBy: new iam.AccountRootPrincipal() });
  const construct = sync(stack, code, vpc ? { vpc: vpc(stack), ...changes } : changes);
  grant?.(construct, to);
  return new Questions(Template.fromStack(stack));
}

/** What of it a role may do beside its log and its network: each action with the logical ids of what it is on. */
function rights(questions: Questions, role: string): Record<string, string[]> {
  const found: Record<string, Set<string>> = {};
  for (const { Action, Resource, Effect } of questions.statements(role)) {
    for (const action of asList(Action).filter((name) => Effect === 'Allow' && !/^(ec2|logs):/.test(name)))
      for (const resource of asList<any>(Resource))
        (found[action] ??= new Set()).add(
          resource['Fn::GetAtt']?.[0]?.replace(/[0-9A-F]{8}$/, '') ?? JSON.stringify(resource),
        );
  }
  return Object.fromEntries(Object.entries(found).map(([action, on]) => [action, [...on].sort()]));
}

const queueOf = (questions: Questions, name: string) => questions.ids('AWS::SQS::Queue', `Sync${name}`)[0]!;
const arn = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] });

test('nothing of it is there where it is not asked for', () => {
  const OURS = /^Sync(Contexts|Monitoring(?:Context|OldestContext|SignIn|Logins|Audit))/;
  for (const [name, questions] of all) {
    const ours = Object.keys(questions.resources).filter((id) => OURS.test(id));
    assert.equal(ours.length > 0, QUEUES.includes(name), `${name}: ${ours.join()}`);
    const said = JSON.stringify(questions.resources).match(/USER_SYNC_(CONTEXT|RECORD)\w*/g) ?? [];
    assert.equal(said.length > 0, QUEUES.includes(name), `${name}: ${said.join()}`);
  }
  // As if the prop were not there: the same resources with the same properties.
  const plain = made({}).resources;
  const changed = (changes: Partial<CognitoUserSyncProps>) => {
    const resources = made(changes).resources;
    return Object.keys({ ...plain, ...resources }).filter(
      (id) => JSON.stringify(plain[id]) !== JSON.stringify(resources[id]),
    );
  };
  assert.deepEqual(changed({ loginContext: [] }), []);
  assert.deepEqual(changed({ contextQueue: false }), []);
  // With it, of the rest only the consumer, its rights and the dashboard are others.
  const more = changed({ contextQueue: true });
  assert.deepEqual(
    more.filter((id) => plain[id]).map((id) => id.slice(0, -8)),
    ['SyncConsumerFunctionRoleDefaultPolicy', 'SyncConsumerFunction', 'SyncMonitoringDashboard'],
  );
  const { resources } = made({ contextQueue: true });
  assert.deepEqual(
    more
      .filter((id) => !plain[id])
      .map((id) => resources[id]!.Type)
      .sort(),
    [
      'AWS::CloudWatch::Alarm',
      'AWS::CloudWatch::Alarm',
      'AWS::Lambda::EventSourceMapping',
      'AWS::SQS::Queue',
      'AWS::SQS::Queue',
      'AWS::SQS::QueuePolicy',
      'AWS::SQS::QueuePolicy',
    ],
  );
});

describe('the queue of contexts', () => {
  test('is as the queue of sign-ins is, and is not that one', () => {
    for (const name of QUEUES) {
      const questions = of(name);
      const [queue, main] = ['ContextsQueue', 'TriggerQueue'].map((id) =>
        questions.properties('AWS::SQS::Queue', `Sync${id}`),
      );
      assert.deepEqual(queue.RedrivePolicy, {
        deadLetterTargetArn: arn(queueOf(questions, 'ContextsDeadLetterQueue')),
        maxReceiveCount: main.RedrivePolicy.maxReceiveCount,
      });
      const alike = (properties: Record<string, unknown>) => {
        const { QueueName: _, RedrivePolicy: __, VisibilityTimeout: ___, ...rest } = properties;
        return rest;
      };
      assert.deepEqual(alike(queue), alike(main), name);
      assert.notDeepEqual(queue.QueueName, main.QueueName, name);
      const deadLetters = questions.properties('AWS::SQS::Queue', 'SyncContextsDeadLetterQueue');
      const [source] = deadLetters.RedriveAllowPolicy.sourceQueueArns;
      assert.ok(JSON.stringify(source).includes(JSON.stringify(queue.QueueName)), name);
      assert.ok(questions.sync.contextQueue && questions.sync.contextDeadLetterQueue, name);
    }
    assert.equal(of('ImportedPool').sync.contextQueue, undefined);
  });

  test('is applied by the same consumer, two at once, whatever waits there', () => {
    for (const name of QUEUES.filter((variant) => !variant.startsWith('Fargate'))) {
      const questions = of(name);
      const mapping = questions.properties('AWS::Lambda::EventSourceMapping', 'SyncConsumerContextMapping');
      const main = questions.properties('AWS::Lambda::EventSourceMapping', 'SyncConsumerMapping');
      assert.deepEqual(mapping.FunctionName, main.FunctionName, name);
      assert.deepEqual(mapping.EventSourceArn, arn(queueOf(questions, 'ContextsQueue')), name);
      assert.deepEqual(mapping.ScalingConfig, { MaximumConcurrency: 2 }, name);
      assert.deepEqual(mapping.FunctionResponseTypes, ['ReportBatchItemFailures'], name);
      assert.deepEqual(main.ScalingConfig, { MaximumConcurrency: 4 }, name);
      const { VisibilityTimeout } = questions.properties('AWS::SQS::Queue', 'SyncContextsQueue');
      const { Timeout } = questions.function('Consumer');
      assert.ok(VisibilityTimeout >= 6 * Timeout + mapping.MaximumBatchingWindowInSeconds, name);
    }
  });

  test('is named to the consumer, which may consume it as it does the other', () => {
    for (const name of QUEUES) {
      const questions = of(name);
      const isFargate = name.startsWith('Fargate');
      const given: Record<string, unknown> = isFargate
        ? Object.fromEntries(
            questions
              .properties('AWS::ECS::TaskDefinition', 'SyncConsumerTask')
              .ContainerDefinitions[0].Environment.map((each: any) => [each.Name, each.Value]),
          )
        : questions.environment('Consumer');
      assert.deepEqual(given.USER_SYNC_CONTEXT_QUEUE_URL, { Ref: queueOf(questions, 'ContextsQueue') }, name);
      assert.deepEqual(
        given.USER_SYNC_CONTEXT_DLQ_URL,
        { Ref: queueOf(questions, 'ContextsDeadLetterQueue') },
        name,
      );
      const may = rights(questions, isFargate ? 'SyncConsumerTaskTaskRole' : 'SyncConsumerFunctionRole');
      for (const action of [
        'ReceiveMessage',
        'DeleteMessage',
        'ChangeMessageVisibility',
        'GetQueueAttributes',
      ])
        assert.deepEqual(
          may[`sqs:${action}`],
          ['SyncContextsQueue', 'SyncTriggerQueue'],
          `${name}: ${action}`,
        );
      assert.deepEqual(
        may['sqs:SendMessage'],
        ['SyncContextsDeadLetterQueue', 'SyncTriggerDeadLetterQueue'],
        name,
      );
    }
  });

  test('is all that a backend may send to', () => {
    const grant = (construct: CognitoUserSync, to: iam.Role) => construct.grantSendContext(to);
    assert.deepEqual(rights(made({ contextQueue: true }, grant), 'Backend'), {
      'sqs:SendMessage': ['SyncContextsQueue'],
    });
    const stack = new Stack(new App(), 'Keyed');
    const to = new iam.Role(stack, 'Backend', { assumedBy: new iam.AccountRootPrincipal() });
    const encryptionKey = new kms.Key(stack, 'Key');
    sync(stack, code, { contextQueue: true, encryptionKey }).grantSendContext(to);
    assert.deepEqual(rights(new Questions(Template.fromStack(stack)), 'Backend'), {
      'sqs:SendMessage': ['SyncContextsQueue'],
      'kms:GenerateDataKey': ['Key'],
      'kms:Decrypt': ['Key'],
    });
    assert.throws(
      () => made({}, grant),
      /no queue of contexts to send to: give contextQueue: true, or a source/,
    );
  });

  test('is redriven and replayed to by whoever may redrive and replay', () => {
    const may = (grant: (construct: CognitoUserSync, to: iam.Role) => void) =>
      rights(made({ contextQueue: true }, grant), 'Backend');
    const redrive = may((construct, to) => construct.grantRedrive(to));
    assert.deepEqual(redrive['sqs:StartMessageMoveTask'], [
      'SyncContextsDeadLetterQueue',
      'SyncTriggerDeadLetterQueue',
    ]);
    assert.deepEqual(redrive['sqs:SendMessage'], ['SyncContextsQueue', 'SyncTriggerQueue']);
    const replay = may((construct, to) => construct.grantReplay(to));
    assert.deepEqual(replay['sqs:SendMessage'], ['SyncContextsQueue', 'SyncTriggerQueue']);
  });
});

describe('the records function', () => {
  test('is the lifecycle program, outside the VPC, told of its queue, its pool and its clients', () => {
    for (const name of SOURCES) {
      const questions = of(name);
      const { VpcConfig, Environment, Code } = questions.function('ContextsRecords');
      assert.equal(VpcConfig, undefined, name);
      assert.deepEqual(Code, questions.function('Lifecycle').Code, name);
      const { USER_SYNC_CONTEXT_CLIENTS: clients, ...rest } = Environment.Variables;
      assert.deepEqual(rest, {
        USER_SYNC_CONTEXT_QUEUE_URL: { Ref: queueOf(questions, 'ContextsQueue') },
        USER_SYNC_USER_POOL_ID: questions.environment('Lifecycle').USER_SYNC_USER_POOL_ID,
      });
      if (name === 'LoginContextCloudTrail')
        assert.match(JSON.stringify(clients), /\{"Ref":"PoolApp\w+"\},",1example23456789"/, name);
      else assert.equal(clients, undefined, name);
    }
  });

  test('may send to the queue of contexts and to its failures, and read clients’ settings only where it must', () => {
    const pool = /userpool\/eu-west-1_LoginContext/;
    const both = rights(of('LoginContext'), 'SyncContextsRecordsFunctionRole');
    const consume = ['ChangeMessageVisibility', 'DeleteMessage', 'GetQueueAttributes', 'ReceiveMessage'];
    assert.deepEqual(Object.keys(both).sort(), [
      'cognito-idp:DescribeUserPoolClient',
      'cognito-idp:ListUserPoolClients',
      ...[...consume, 'SendMessage'].map((action) => `sqs:${action}`),
    ]);
    for (const action of ['DescribeUserPoolClient', 'ListUserPoolClients'])
      assert.match(both[`cognito-idp:${action}`]!.join(), pool);
    for (const action of consume)
      assert.deepEqual(both[`sqs:${action}`], ['SyncContextsRecordsQueue'], action);

    const named = rights(of('LoginContextCloudTrail'), 'SyncContextsRecordsFunctionRole');
    assert.deepEqual(
      Object.keys(named).filter((action) => action.startsWith('cognito-idp:')),
      ['cognito-idp:ListUserPoolClients'],
    );
    // Whose a client is decides whose the address is of a call without context data.
    assert.deepEqual(
      Object.keys(rights(of('FargateThreatProtection'), 'SyncContextsRecordsFunctionRole')).sort(),
      ['cognito-idp:DescribeUserPoolClient', 'sqs:SendMessage'],
    );
    for (const name of SOURCES)
      assert.deepEqual(
        rights(of(name), 'SyncContextsRecordsFunctionRole')['sqs:SendMessage'],
        ['SyncContextsQueue', 'SyncContextsRecordsFailures'],
        name,
      );
  });

  test('comes after the consumer, which knows what it sends', () => {
    for (const name of SOURCES) {
      const questions = of(name);
      const consumers = [
        ...questions.ids('AWS::Lambda::Function', 'SyncConsumerFunction'),
        ...questions.ids('AWS::ECS::Service'),
      ];
      const [sender] = questions.ids('AWS::Lambda::Function', 'SyncContextsRecords');
      assert.ok(questions.resources[sender!]!.DependsOn!.includes(consumers[0]!), name);
    }
  });

  test('keeps what it had to give up', () => {
    for (const name of SOURCES) {
      const config = of(name).properties('AWS::Lambda::EventInvokeConfig', 'SyncContextsRecords');
      const failures = queueOf(of(name), 'ContextsRecordsFailures');
      assert.deepEqual(config.DestinationConfig.OnFailure.Destination, arn(failures), name);
    }
  });
});

describe('CloudTrail', () => {
  const call = (eventName: string, requestParameters: object = {}) => ({
    source: 'aws.cognito-idp',
    'detail-type': 'AWS API Call via CloudTrail',
    detail: { eventSource: 'cognito-idp.amazonaws.com', eventName, requestParameters },
  });

  test('hands over sign-ins and sign-ups, and no refresh', () => {
    for (const name of TRAILS) {
      const pattern = of(name).properties('AWS::Events::Rule', 'SyncContextsRecordsRule').EventPattern;
      const takes = (eventName: string, parameters?: object) => matches(pattern, call(eventName, parameters));
      for (const authFlow of ['USER_PASSWORD_AUTH', 'USER_SRP_AUTH', 'CUSTOM_AUTH', 'USER_AUTH'])
        assert.ok(takes('InitiateAuth', { authFlow }), authFlow);
      assert.ok(takes('AdminInitiateAuth', { authFlow: 'ADMIN_USER_PASSWORD_AUTH' }));
      for (const eventName of ['RespondToAuthChallenge', 'AdminRespondToAuthChallenge'])
        assert.ok(takes(eventName, { challengeName: 'SMS_MFA' }), eventName);
      for (const eventName of ['SignUp', 'ConfirmSignUp']) assert.ok(takes(eventName), eventName);
      for (const authFlow of ['REFRESH_TOKEN_AUTH', 'REFRESH_TOKEN'])
        assert.ok(!takes('InitiateAuth', { authFlow }), authFlow);
      assert.ok(!takes('AdminCreateUser'));
      assert.ok(!matches(pattern, { ...call('InitiateAuth'), source: 'else' }));
    }
    assert.deepEqual(of('FargateThreatProtection').ids('AWS::Events::Rule', 'SyncSignIn'), []);
  });

  test('is handed over by the rule that docs/deploying.md shows', () => {
    const text = fs.readFileSync(path.join(INFRA, '..', 'docs', 'deploying.md'), 'utf8');
    const [shown, ...others] = [...text.matchAll(/```json\n( *\{\n *"source"[^`]+)```/g)];
    assert.deepEqual(others, []);
    const made = of('LoginContext').properties('AWS::Events::Rule', 'SyncContextsRecordsRule').EventPattern;
    assert.deepEqual(made, JSON.parse(shown![1]!));
  });

  test('comes by way of a queue, a thousand records to an invocation', () => {
    for (const name of TRAILS) {
      const questions = of(name);
      const raw = queueOf(questions, 'ContextsRecordsQueue');
      const failures = queueOf(questions, 'ContextsRecordsFailures');
      const [target, ...others] = questions.properties(
        'AWS::Events::Rule',
        'SyncContextsRecordsRule',
      ).Targets;
      assert.deepEqual(
        [target.Arn, target.DeadLetterConfig.Arn, others],
        [arn(raw), arn(failures), []],
        name,
      );
      const mapping = questions.properties('AWS::Lambda::EventSourceMapping', 'SyncContextsRecordsMapping');
      assert.deepEqual(mapping.EventSourceArn, arn(raw), name);
      const [reader] = questions.ids('AWS::Lambda::Function', 'SyncContextsRecords');
      assert.deepEqual(mapping.FunctionName, { Ref: reader }, name);
      assert.deepEqual(mapping.FunctionResponseTypes, ['ReportBatchItemFailures'], name);
      assert.deepEqual(mapping.ScalingConfig, { MaximumConcurrency: 2 }, name);
      assert.deepEqual([mapping.BatchSize, mapping.MaximumBatchingWindowInSeconds], [1_000, 5], name);
      const { VisibilityTimeout, RedrivePolicy } = questions.resources[raw]!.Properties;
      assert.ok(VisibilityTimeout >= 6 * questions.function('ContextsRecords').Timeout + 5, name);
      const deadLetters = queueOf(questions, 'ContextsRecordsDeadLetterQueue');
      assert.deepEqual(RedrivePolicy.deadLetterTargetArn, arn(deadLetters), name);
    }
    assert.deepEqual(of('FargateThreatProtection').ids('AWS::SQS::Queue', 'SyncContextsRecordsQueue'), []);
  });

  test('is permitted to EventBridge for the one rule, and the key for this account’s', () => {
    for (const name of TRAILS) {
      const questions = of(name);
      const [rule] = questions.ids('AWS::Events::Rule', 'SyncContextsRecordsRule');
      for (const queue of ['ContextsRecordsQueue', 'ContextsRecordsFailures']) {
        const policies = questions
          .ids('AWS::SQS::QueuePolicy')
          .map((id) => questions.resources[id]!.Properties);
        const statements = policies
          .filter(({ Queues }) => Queues[0].Ref === queueOf(questions, queue))
          .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
          .filter(({ Effect }) => Effect === 'Allow');
        assert.deepEqual(statements, [
          {
            Sid: 'EventBridge',
            Effect: 'Allow',
            Principal: { Service: 'events.amazonaws.com' },
            Action: 'sqs:SendMessage',
            Resource: arn(queueOf(questions, queue)),
            Condition: { ArnEquals: { 'aws:SourceArn': arn(rule!) } },
          },
        ]);
      }
    }
    const { Statement } = of('LoginContextCloudTrail').properties('AWS::KMS::Key', 'Key').KeyPolicy;
    const [statement] = Statement.filter(({ Sid }: { Sid?: string }) => Sid === 'EventBridge');
    assert.deepEqual(statement.Principal, { Service: 'events.amazonaws.com' });
    assert.deepEqual(statement.Condition, {
      StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } },
    });
    assert.ok(!JSON.stringify(of('Key').properties('AWS::KMS::Key', 'Key')).includes('events.amazonaws.com'));
  });
});

describe('threat protection', () => {
  test('is subscribed to, and CloudWatch Logs may invoke the function for that one log group', () => {
    for (const name of ['LoginContext', 'FargateThreatProtection']) {
      const questions = of(name);
      const [reader] = questions.ids('AWS::Lambda::Function', 'SyncContextsRecords');
      const filter = questions.one('AWS::Logs::SubscriptionFilter', 'SyncContextsRecordsUserAuthEvents');
      assert.equal(filter.Properties.LogGroupName, '/aws/vendedlogs/cognito/app', name);
      assert.deepEqual(filter.Properties.DestinationArn, arn(reader!), name);
      assert.equal(filter.Properties.FilterPattern, '', name);
      const [id] = questions.ids('AWS::Lambda::Permission', 'SyncContextsRecordsUserAuthEvents');
      const { Principal, SourceAccount, SourceArn, FunctionName } = questions.resources[id!]!.Properties;
      assert.equal(Principal, 'logs.amazonaws.com', name);
      assert.deepEqual(SourceAccount, { Ref: 'AWS::AccountId' }, name);
      assert.match(JSON.stringify(SourceArn), /:log-group:\/aws\/vendedlogs\/cognito\/app:\*"/, name);
      assert.deepEqual(FunctionName, arn(reader!), name);
      assert.ok(filter.DependsOn!.includes(id!), name);
    }
    assert.deepEqual(of('LoginContextCloudTrail').ids('AWS::Logs::SubscriptionFilter', ''), []);
  });
});

describe('the audit', () => {
  test('runs every hour as the reader, and may do nothing else', () => {
    for (const name of SOURCES) {
      const questions = of(name);
      const rule = questions.properties('AWS::Events::Rule', 'SyncContextsAuditSchedule');
      assert.equal(rule.ScheduleExpression, 'rate(1 hour)', name);
      assert.deepEqual(JSON.parse(rule.Targets[0].Input), { audit: true }, name);
      assert.deepEqual(
        rule.Targets[0].Arn,
        arn(questions.ids('AWS::Lambda::Function', 'SyncContextsAudit')[0]!),
        name,
      );
      const { USER_SYNC_OPERATION, USER_SYNC_USER_POOL_ID } = questions.environment('ContextsAudit');
      assert.equal(USER_SYNC_OPERATION, 'audit', name);
      assert.deepEqual(
        USER_SYNC_USER_POOL_ID,
        questions.environment('Lifecycle').USER_SYNC_USER_POOL_ID,
        name,
      );
      const isSecret = name.startsWith('Fargate');
      const may = Object.keys(rights(questions, 'SyncContextsAuditFunctionRole')).sort();
      const login = isSecret
        ? ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue']
        : ['rds-db:connect'];
      assert.deepEqual(may, login, name);
      const said = JSON.stringify(questions.environment('ContextsAudit'));
      assert.match(said, isSecret ? /SyncLoginsReaderSecret/ : /user_sync_reader_login@/, name);
    }
    assert.equal(of('ContextQueue').sync.auditFunction, undefined);
  });

  test('has the reader’s secret, also where nobody else needs it', () => {
    const questions = made({
      loginContext: [LoginContext.cloudTrail()],
      auth: DatabaseAuth.secret(),
      migrations: Migrations.SKIP,
      driftCheck: DriftCheck.none(),
    });
    const [secret] = questions.ids('AWS::SecretsManager::Secret', 'SyncLoginsReaderSecret');
    assert.deepEqual(questions.environment('ContextsAudit').USER_SYNC_DATABASE_SECRET_ARN, { Ref: secret });
  });

  test('knows when triggers were away, where somebody notes it and it can be read', () => {
    const keeps = {
      loginContext: [LoginContext.cloudTrail()],
      triggers: PoolTriggers.attach({ keep: true }),
    };
    const of = (changes: Partial<CognitoUserSyncProps>, vpc?: (stack: Stack) => ec2.IVpc) =>
      made({ ...keeps, ...changes }, undefined, vpc);
    const closed = (stack: Stack) =>
      new ec2.Vpc(stack, 'Closed', {
        natGateways: 0,
        subnetConfiguration: [{ name: 'Isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED }],
      });
    const kept = of({});
    const [parameter] = kept.ids('AWS::SSM::Parameter');
    assert.deepEqual(kept.environment('ContextsAudit').USER_SYNC_TRIGGERS_PARAMETER, { Ref: parameter });
    assert.deepEqual(Object.keys(rights(kept, 'SyncContextsAuditFunctionRole')).sort(), [
      'rds-db:connect',
      'ssm:GetParameter',
    ]);
    for (const without of [
      of({ triggers: PoolTriggers.attach() }),
      of({ endpoints: { sqs: true, secretsManager: true } }, closed),
    ]) {
      assert.equal(without.environment('ContextsAudit').USER_SYNC_TRIGGERS_PARAMETER, undefined);
      assert.deepEqual(Object.keys(rights(without, 'SyncContextsAuditFunctionRole')), ['rds-db:connect']);
    }
  });

  test('waits for the tables that it reads', () => {
    const [audit] = of('LoginContext').ids('AWS::Lambda::Function', 'SyncContextsAudit');
    const [migration] = of('LoginContext').ids('Custom::UserSyncSchema');
    assert.ok(of('LoginContext').resources[audit!]!.DependsOn!.includes(migration!));
  });
});

test('what is kept of records is told to who maintains the ledger', () => {
  const retention = (name: string) => of(name).environment('Schema').USER_SYNC_RECORD_RETENTION_DAYS;
  assert.equal(retention('ContextQueue'), '90');
  assert.equal(retention('LoginContext'), undefined);
});

describe('alarms', () => {
  const ours = (name: string) => {
    const before = new Set(of('ImportedPool').sync.alarms.map(({ node }) => node.id));
    return of(name)
      .sync.alarms.map(({ node }) => node.id)
      .filter((id) => !before.has(id))
      .sort();
  };
  const alarm = (name: string, id: string) =>
    of(name).properties('AWS::CloudWatch::Alarm', `SyncMonitoring${id}`);

  test('are one for each way in which records could be lost, or say that logins were', () => {
    const queue = ['ContextDeadLetters', 'OldestContext'];
    assert.deepEqual(ours('ContextQueue'), queue);
    for (const name of SOURCES)
      assert.deepEqual(
        ours(name),
        ['AuditFails', ...queue, 'LoginsUnaccounted', 'SignInRecordFailures'].sort(),
        name,
      );
  });

  test('watch their own queues, and every one that records could wait in', () => {
    const watches = ({ Dimensions, Metrics = [], Namespace, MetricName, Threshold }: any) => [
      Namespace ?? 'AWS/SQS',
      MetricName ?? 'ApproximateNumberOfMessagesVisible',
      Threshold,
      ...(Dimensions ?? Metrics.flatMap(({ MetricStat }: any) => MetricStat?.Metric.Dimensions ?? [])).map(
        ({ Value }: any) => (Value['Fn::GetAtt']?.[0] ?? Value.Ref).replace(/[0-9A-F]{8}$/, ''),
      ),
    ];
    const visible = ['AWS/SQS', 'ApproximateNumberOfMessagesVisible', 0];
    const both = (id: string) => watches(alarm('LoginContext', id));
    assert.deepEqual(both('ContextDeadLetters'), [...visible, 'SyncContextsDeadLetterQueue']);
    assert.deepEqual(watches(alarm('FargateThreatProtection', 'OldestContext')), [
      'AWS/SQS',
      'ApproximateAgeOfOldestMessage',
      3_600,
      'SyncContextsQueue',
    ]);
    assert.deepEqual(both('OldestContext').slice(2), [
      3_600,
      'SyncContextsQueue',
      'SyncContextsRecordsQueue',
    ]);
    assert.deepEqual(both('SignInRecordFailures'), [
      ...visible,
      'SyncContextsRecordsFailures',
      'SyncContextsRecordsDeadLetterQueue',
    ]);
    assert.deepEqual(watches(alarm('FargateThreatProtection', 'SignInRecordFailures')), [
      ...visible,
      'SyncContextsRecordsFailures',
    ]);
    assert.deepEqual(both('LoginsUnaccounted'), [
      'UserSync',
      'logins_unaccounted',
      0,
      'SyncContextsAuditFunction',
    ]);
    assert.deepEqual(both('AuditFails'), ['AWS/Lambda', 'Errors', 0, 'SyncContextsAuditFunction']);
    assert.equal(alarm('LoginContext', 'AuditFails').EvaluationPeriods, 3);
    assert.equal(alarm('LoginContext', 'LoginsUnaccounted').TreatMissingData, 'notBreaching');
  });

  test('and graphs are on the dashboard, with the names of the queues', () => {
    const shown = (name: string) =>
      JSON.stringify(of(name).properties('AWS::CloudWatch::Dashboard', 'SyncMonitoringDashboard'));
    for (const name of QUEUES) assert.match(shown(name), /Where logins came from/, name);
    assert.match(shown('LoginContext'), /logins_unaccounted/);
    assert.ok(!shown('ContextQueue').includes('logins_unaccounted'));
    assert.ok(!shown('ImportedPool').includes('Where logins came from'));
  });
});

describe('what cannot be', () => {
  const group = (stack: Stack) => logs.LogGroup.fromLogGroupName(stack, 'Group', 'group');
  const CASES: [string, (stack: Stack) => Partial<CognitoUserSyncProps>, RegExp][] = [
    [
      'CloudTrail twice',
      () => ({ loginContext: [LoginContext.cloudTrail(), LoginContext.cloudTrail({ clients: ['a'] })] }),
      /loginContext is "CloudTrail twice": it must be each source once/,
    ],
    [
      'threat protection twice',
      (stack) => {
        const source = LoginContext.threatProtection({ logGroup: group(stack) });
        return { loginContext: [source, source] };
      },
      /loginContext is "threat protection twice": it must be each source once/,
    ],
    [
      'no client',
      () => ({ loginContext: [LoginContext.cloudTrail({ clients: [] })] }),
      /clients is \[\]: it must be one client id at least, or left out/,
    ],
    [
      'two clients in one',
      () => ({ loginContext: [LoginContext.cloudTrail({ clients: ['a,b'] })] }),
      /clients is "a,b": it must be ids of clients/,
    ],
    [
      'a source without a queue',
      () => ({ contextQueue: false, loginContext: [LoginContext.cloudTrail()] }),
      /contextQueue is false: it must be left out or true/,
    ],
    ...[30, 3_651, 31.5].map((days): (typeof CASES)[number] => [
      `records for ${days} days`,
      () => ({ recordRetention: Duration.hours(days * 24) }),
      /recordRetention is [\d.]+: it must be a whole number from 31 to 3650/,
    ]),
    [
      'a retention that nobody would know of',
      () => ({ recordRetention: Duration.days(90), migrations: Migrations.SKIP }),
      /recordRetention is 90: it must be left out with migrations: Migrations\.SKIP: .*USER_SYNC_RECORD_RETENTION_DAYS/,
    ],
  ];

  for (const [title, changes, message] of CASES) {
    test(`${title} is refused by name`, () => {
      const stack = new Stack(new App(), 'Refused');
      assert.throws(() => sync(stack, code, changes(stack)), message);
    });
  }
});

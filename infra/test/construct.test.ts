import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  CognitoUserSync,
  DatabaseAuth,
  DriftCheck,
  Migrations,
  PoolTriggers,
  UserSyncCompute,
  UserSyncDatabase,
} from '../lib';
import { dist, INFRA } from './support';
import { asList, Questions } from './template';
import { sync, variants } from './variants';

// CDK's own validation is the CLI's test's, which synthesises the same.
process.env.CDK_VALIDATION = 'false';

const code = dist();
const all = new Map<string, Questions & { sync: CognitoUserSync }>();

const of = (variant: string): Questions & { sync: CognitoUserSync } => all.get(variant)!;
const container = (variant: string) =>
  of(variant).properties('AWS::ECS::TaskDefinition', 'SyncConsumerTask').ContainerDefinitions[0];
/** The worker's environment. */
const worker = (variant: string): Record<string, unknown> =>
  Object.fromEntries(
    container(variant).Environment.map(({ Name, Value }: { Name: string; Value: unknown }) => [Name, Value]),
  );
const lambdas = () => [...all].filter(([name]) => !name.startsWith('Fargate'));

before(() => {
  // Template.fromStack refuses a circle, too.
  for (const [name, { stack, sync }] of variants(new App(), code)) {
    all.set(name, Object.assign(new Questions(Template.fromStack(stack)), { sync }));
  }
});

after(() => fs.rmSync(code, { recursive: true }));

describe('the queues', () => {
  test('keep messages for 14 days, encrypted, and the queue redrives to the dead-letter queue', () => {
    for (const [name, questions] of all) {
      const queue = questions.properties('AWS::SQS::Queue', 'SyncTriggerQueue');
      const deadLetters = questions.properties('AWS::SQS::Queue', 'SyncTriggerDeadLetterQueue');
      for (const properties of [queue, deadLetters]) {
        assert.equal(properties.MessageRetentionPeriod, 14 * 24 * 3_600, name);
        assert.ok(properties.SqsManagedSseEnabled === true || properties.KmsMasterKeyId !== undefined, name);
      }
      const [deadLettersId] = questions.ids('AWS::SQS::Queue', 'SyncTriggerDeadLetterQueue');
      assert.deepEqual(
        queue.RedrivePolicy.deadLetterTargetArn,
        { 'Fn::GetAtt': [deadLettersId, 'Arn'] },
        name,
      );
      assert.equal(queue.RedrivePolicy.maxReceiveCount, name.startsWith('Fargate') ? 100 : 1_000, name);
      assert.equal(queue.ReceiveMessageWaitTimeSeconds, 20, name);
      assert.equal(deadLetters.RedriveAllowPolicy.redrivePermission, 'byQueue', name);
      const [source] = deadLetters.RedriveAllowPolicy.sourceQueueArns;
      assert.ok(JSON.stringify(source).includes(JSON.stringify(queue.QueueName)), name);
    }
  });

  test('are reached by TLS only', () => {
    for (const [name, questions] of all) {
      for (const queue of questions.ids('AWS::SQS::Queue')) {
        const policies = questions
          .ids('AWS::SQS::QueuePolicy')
          .map((id) => questions.resources[id]!.Properties);
        const statements = policies
          .filter((policy) => policy.Queues[0].Ref === queue)
          .flatMap((policy) => policy.PolicyDocument.Statement);
        const tls = statements.find(
          (statement) =>
            statement.Effect === 'Deny' && statement.Condition?.Bool?.['aws:SecureTransport'] === 'false',
        );
        assert.equal(tls?.Action, 'sqs:*', `${name}: ${queue}`);
      }
    }
  });

  test('hide a message for six times the consumer’s timeout and the window', () => {
    for (const [name, questions] of lambdas()) {
      const mapping = questions.properties('AWS::Lambda::EventSourceMapping', 'SyncConsumerMapping');
      const queue = questions.properties('AWS::SQS::Queue', 'SyncTriggerQueue');
      const { Timeout } = questions.function('Consumer');
      assert.ok(queue.VisibilityTimeout >= 6 * Timeout + mapping.MaximumBatchingWindowInSeconds, name);
    }
  });

  test('with a key are used by who may use it, and by no wildcard', () => {
    const uses = (role: string) =>
      of('Key')
        .allowed(role)
        .filter((action) => action.startsWith('kms:'));
    assert.deepEqual(uses('SyncTriggerFunctionRole'), ['kms:Decrypt', 'kms:GenerateDataKey']);
    assert.deepEqual(uses('SyncConsumerFunctionRole'), ['kms:Decrypt', 'kms:GenerateDataKey']);
    assert.deepEqual(uses('SyncLifecycleFunctionRole'), ['kms:Decrypt', 'kms:GenerateDataKey']);
  });
});

describe('the encryption key', () => {
  test('reaches the log that holds undelivered events, and CloudWatch Logs may use it for logs only', () => {
    const [key] = of('Key').ids('AWS::KMS::Key', 'Key');
    const encrypted = of('Key')
      .ids('AWS::Logs::LogGroup')
      .filter((id) => of('Key').resources[id]!.Properties.KmsKeyId !== undefined);
    assert.deepEqual(encrypted, of('Key').ids('AWS::Logs::LogGroup', 'SyncTriggerLog'));
    const { KmsKeyId } = of('Key').properties('AWS::Logs::LogGroup', 'SyncTriggerLog');
    assert.deepEqual(KmsKeyId, { 'Fn::GetAtt': [key, 'Arn'] });
    const { Statement } = of('Key').properties('AWS::KMS::Key', 'Key').KeyPolicy;
    const logs = Statement.filter(({ Sid }: { Sid?: string }) => Sid === 'Logs');
    assert.deepEqual(logs, [
      {
        Sid: 'Logs',
        Effect: 'Allow',
        Principal: { Service: { 'Fn::Join': ['', ['logs.', { Ref: 'AWS::Region' }, '.amazonaws.com']] } },
        Action: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*'],
        Resource: '*',
        Condition: {
          ArnLike: {
            'kms:EncryptionContext:aws:logs:arn': {
              'Fn::Join': [
                '',
                [
                  'arn:',
                  { Ref: 'AWS::Partition' },
                  ':logs:',
                  { Ref: 'AWS::Region' },
                  ':',
                  { Ref: 'AWS::AccountId' },
                  ':log-group:*',
                ],
              ],
            },
          },
        },
      },
    ]);
    const unkeyed = of('ImportedPool').properties('AWS::Logs::LogGroup', 'SyncTriggerLog');
    assert.equal(unkeyed.KmsKeyId, undefined);
  });
});

describe('the consumer', () => {
  test('reports what failed of a batch, and is bounded', () => {
    for (const [name, questions] of lambdas()) {
      const mapping = questions.properties('AWS::Lambda::EventSourceMapping', 'SyncConsumerMapping');
      assert.deepEqual(mapping.FunctionResponseTypes, ['ReportBatchItemFailures'], name);
      assert.deepEqual(mapping.ScalingConfig, { MaximumConcurrency: 4 }, name);
      assert.equal(mapping.BatchSize, 1_000, name);
      assert.equal(mapping.MaximumBatchingWindowInSeconds, 1, name);
    }
  });

  test('may use one queue, send to the other, and log in as one user', () => {
    const allowed = of('ImportedPool')
      .allowed('SyncConsumerFunctionRole')
      .filter((action) => !/^(ec2|logs):/.test(action));
    const queue = [
      'sqs:ChangeMessageVisibility',
      'sqs:DeleteMessage',
      'sqs:GetQueueAttributes',
      'sqs:ReceiveMessage',
      'sqs:SendMessage',
    ];
    assert.deepEqual(allowed, ['rds-db:connect', ...queue]);
    const connect = of('ImportedPool')
      .statements('SyncConsumerFunctionRole')
      .find(({ Action }) => Action === 'rds-db:connect')!;
    assert.match(JSON.stringify(connect.Resource), /:dbuser:db-ABC\/user_sync_consumer_login"/);
    const send = of('ImportedPool')
      .statements('SyncConsumerFunctionRole')
      .find(({ Action }) => Action === 'sqs:SendMessage')!;
    assert.match(JSON.stringify(send.Resource), /SyncTriggerDeadLetterQueue/);
  });

  test('has no password in its environment, and RDS’s authorities at hand', () => {
    for (const [name, questions] of lambdas()) {
      const { DATABASE_URL, USER_SYNC_DATABASE_AUTH } = questions.environment('Consumer');
      const isSecret = questions.sync.consumerSecret !== undefined;
      assert.equal(USER_SYNC_DATABASE_AUTH, isSecret ? 'secret' : 'iam', name);
      const url = JSON.stringify(DATABASE_URL);
      assert.match(
        url,
        isSecret
          ? /^("|\{"Fn::Join":\["",\[")postgres:\/\/(?!.*@)/
          : /postgres:\/\/user_sync_consumer_login@/,
        name,
      );
      assert.match(url, /\/app\?sslrootcert=\/opt\/rds-ca\.pem/, name);
      assert.equal(questions.function('Consumer').Layers.length, 1, name);
    }
  });

  test('waits with new code until the database is migrated, and the migration until the way is open', () => {
    for (const [name, questions] of all) {
      const [migration] = questions.ids('Custom::UserSyncSchema');
      if (name === 'MigrationsSkipped') {
        assert.equal(migration, undefined);
        continue;
      }
      const consumers = [
        ...questions.ids('AWS::Lambda::Function', 'SyncConsumerFunction'),
        ...questions.ids('AWS::ECS::Service', 'SyncConsumer'),
      ];
      assert.equal(consumers.length, 1, name);
      assert.ok(questions.resources[consumers[0]!]!.DependsOn!.includes(migration!), name);
      const ways = [
        ...questions.ids('AWS::EC2::SecurityGroupEgress'),
        ...questions.ids('AWS::EC2::SecurityGroupIngress', ''),
      ];
      // Who sends new types of events waits for those who know them.
      const [sender] = questions.ids('AWS::Lambda::Function', 'SyncLifecycle');
      assert.ok(questions.resources[sender!]!.DependsOn!.includes(consumers[0]!), name);
      const waited = questions.resources[migration!]!.DependsOn!;
      for (const way of ways.filter((id) => id.includes('Database') && id.includes('Sync'))) {
        // A proxy's own rule is the consumer's way, and a console's its own, not the migrator's.
        if (!/ProxySecurityGroup.*from|SyncConsoleSecurityGroup/.test(way))
          assert.ok(waited.includes(way), `${name}: ${way}`);
      }
    }
  });

  test('accepts the events of the pool that it is for, and of no other', () => {
    for (const [name, questions] of all) {
      const expected = questions.environment('Lifecycle').USER_SYNC_USER_POOL_ID;
      assert.ok(expected, name);
      const environment = name.startsWith('Fargate') ? worker(name) : questions.environment('Consumer');
      assert.deepEqual(environment.USER_SYNC_USER_POOL_ID, expected, name);
    }
    assert.equal(of('ImportedPool').environment('Consumer').USER_SYNC_USER_POOL_ID, 'eu-west-1_ImportedPool');
    assert.deepEqual(of('OwnPool').environment('Consumer').USER_SYNC_USER_POOL_ID, {
      Ref: of('OwnPool').ids('AWS::Cognito::UserPool', 'Pool')[0],
    });
  });

  test('accepts another pool, too, if that is said as README.md says it', () => {
    const both = 'eu-west-1_One,eu-west-1_Other';
    const stack = new Stack(new App(), 'Several');
    sync(stack, code).consumerFunction!.addEnvironment('USER_SYNC_USER_POOL_ID', both);
    const several = new Questions(Template.fromStack(stack));
    assert.equal(several.environment('Consumer').USER_SYNC_USER_POOL_ID, both);
    const service = new Stack(new App(), 'SeveralOfService');
    const { consumerService } = sync(service, code, { compute: UserSyncCompute.fargate() });
    consumerService!.taskDefinition.defaultContainer!.addEnvironment('USER_SYNC_USER_POOL_ID', both);
    const [task] = Object.values(Template.fromStack(service).findResources('AWS::ECS::TaskDefinition'));
    const said = task!.Properties.ContainerDefinitions[0].Environment.filter(
      ({ Name }: { Name: string }) => Name === 'USER_SYNC_USER_POOL_ID',
    );
    assert.deepEqual(said, [{ Name: 'USER_SYNC_USER_POOL_ID', Value: both }]);
  });

  test('as a service is replaced when it makes no progress, as its image says too', () => {
    for (const name of ['Fargate', 'FargateSecretArm']) {
      const { HealthCheck } = container(name);
      assert.deepEqual(
        HealthCheck,
        { Command: ['CMD', 'user-sync', 'health'], Interval: 30, Retries: 3, StartPeriod: 60, Timeout: 5 },
        name,
      );
      assert.equal(worker(name).USER_SYNC_METRICS_ADDR, '127.0.0.1:9464', name);
      assert.equal(container(name).PortMappings, undefined, name);
    }
    const dockerfile = fs.readFileSync(path.join(INFRA, 'worker', 'Dockerfile'), 'utf8');
    assert.match(dockerfile, /^ENV USER_SYNC_METRICS_ADDR=127\.0\.0\.1:9464$/m);
    const health = /^HEALTHCHECK (.*) CMD (\[.*\])$/m.exec(dockerfile)!;
    assert.equal(health[1], '--interval=30s --timeout=5s --retries=3 --start-period=60s');
    assert.deepEqual(JSON.parse(health[2]!), ['/usr/local/bin/user-sync', 'health']);
  });

  test('runs as a service that says its heartbeats under the name that is watched', () => {
    const questions = of('Fargate');
    assert.deepEqual(container('Fargate').Command, ['worker']);
    assert.equal(container('Fargate').ReadonlyRootFilesystem, true);
    const service = worker('Fargate').USER_SYNC_EMF_SERVICE;
    questions.template.hasResourceProperties('AWS::CloudWatch::Alarm', {
      MetricName: 'heartbeats',
      Dimensions: [{ Name: 'service', Value: service }],
    });
    assert.equal(questions.properties('AWS::ECS::Service', 'SyncConsumerService').DesiredCount, 2);
    assert.deepEqual(questions.ids('AWS::Lambda::EventSourceMapping'), []);
    assert.ok(questions.sync.consumer === questions.sync.consumerService);
  });
});

describe('the trigger', () => {
  test('is outside the VPC, answers within 5 s, and can reach nothing but its queue', () => {
    for (const [name, questions] of all) {
      const trigger = questions.function('Trigger');
      assert.equal(trigger.VpcConfig, undefined, name);
      assert.equal(trigger.Timeout, 5, name);
      assert.equal(trigger.Runtime, 'provided.al2023', name);
      const allowed = questions
        .allowed('SyncTriggerFunctionRole')
        .filter((action) => !/^(logs|kms|xray):/.test(action));
      const chain = /^Chained|^KeepOwnPool$/.test(name) ? ['lambda:InvokeFunction'] : [];
      assert.deepEqual(allowed, [...chain, 'sqs:GetQueueAttributes', 'sqs:SendMessage'], name);
      assert.ok(!JSON.stringify(trigger.Environment).includes('DATABASE'), name);
    }
  });

  test('is both triggers of a pool of the same stack', () => {
    for (const name of ['OwnPool', 'Instance', 'Key', 'ChainedOwnPool']) {
      const arn = { 'Fn::GetAtt': [of(name).ids('AWS::Lambda::Function', 'SyncTriggerFunction')[0], 'Arn'] };
      const pool = of(name).properties('AWS::Cognito::UserPool', 'Pool');
      assert.deepEqual(pool.LambdaConfig, { PostConfirmation: arn, PostAuthentication: arn }, name);
    }
  });

  test('may be called before a pool of the same stack calls it, and is taken from one that outlives the stack', () => {
    for (const name of ['OwnPool', 'Instance', 'Key', 'ChainedOwnPool']) {
      const questions = of(name);
      const [permission] = questions.ids('AWS::Lambda::Permission', 'SyncTriggerPermission');
      assert.ok(questions.one('AWS::Cognito::UserPool', 'Pool').DependsOn!.includes(permission!), name);
      const { SourceAccount, SourceArn } = questions.resources[permission!]!.Properties;
      assert.deepEqual(SourceAccount, { Ref: 'AWS::AccountId' }, name);
      assert.match(JSON.stringify(SourceArn), /userpool\/\*/, name);
      const resource = questions.one('Custom::UserSyncPoolTriggers', 'Sync');
      assert.ok(resource.DependsOn!.includes(questions.ids('AWS::Cognito::UserPool', 'Pool')[0]!), name);
      // It finds what is set already; and what is chained may not be put back, since it never was this pool's.
      assert.equal(resource.Properties.ChainPostConfirmation, undefined, name);
      assert.equal(resource.Properties.Overwrite, 'false', name);
    }
    const texting = new Stack(new App(), 'Texting');
    sync(texting, code, { userPool: new cognito.UserPool(texting, 'Pool', { mfa: cognito.Mfa.OPTIONAL }) });
    const { resources } = new Questions(Template.fromStack(texting));
    const statements = Object.values(resources).flatMap(({ Type, Properties }) =>
      Type === 'AWS::IAM::Policy' ? Properties.PolicyDocument.Statement : [],
    );
    const passed = statements
      .filter(({ Action }) => Action === 'iam:PassRole')
      .map(({ Resource }) => Resource);
    const [role] = Object.keys(resources).filter((id) => id.startsWith('PoolsmsRole'));
    assert.deepEqual(passed, [{ 'Fn::GetAtt': [role, 'Arn'] }], 'what sends SMS may be passed on');
  });

  test('is set on a pool of elsewhere by a custom resource, which Cognito’s permission precedes', () => {
    const questions = of('Chained');
    const resource = questions.one('Custom::UserSyncPoolTriggers', 'Sync');
    assert.equal(resource.Properties.UserPoolId, 'eu-west-1_Chained');
    assert.equal(
      resource.Properties.ChainPostConfirmation,
      'arn:aws:lambda:eu-west-1:123456789012:function:Welcome',
    );
    assert.equal(
      resource.Properties.ChainPostAuthentication,
      'arn:aws:lambda:eu-west-1:123456789012:function:Audit',
    );
    assert.equal(resource.Properties.Overwrite, 'false');
    const [permission] = questions.ids('AWS::Lambda::Permission', 'SyncPoolTriggersPermission');
    assert.ok(resource.DependsOn!.includes(permission!));
    assert.equal(questions.resources[permission!]!.Properties.Principal, 'cognito-idp.amazonaws.com');
    assert.match(
      JSON.stringify(questions.resources[permission!]!.Properties.SourceArn),
      /userpool\/eu-west-1_Chained/,
    );
    assert.equal(questions.function('PoolTriggers').VpcConfig, undefined);
  });

  test('is set by a function that is told by its environment what it may set', () => {
    for (const [name, questions] of all) {
      const [id] = questions.ids('Custom::UserSyncPoolTriggers');
      if (id === undefined) continue;
      const asked = questions.resources[id]!.Properties;
      const { USER_SYNC_LOG: _, ...environment } = questions.environment('PoolTriggers');
      assert.deepEqual(
        environment,
        JSON.parse(
          JSON.stringify({
            USER_SYNC_OPERATION: 'pool-triggers',
            USER_SYNC_USER_POOL_ID: asked.UserPoolId,
            USER_SYNC_TRIGGER_ARN: asked.FunctionArn,
            USER_SYNC_CHAIN_POST_CONFIRMATION: asked.ChainPostConfirmation,
            USER_SYNC_CHAIN_POST_AUTHENTICATION: asked.ChainPostAuthentication,
            USER_SYNC_OVERWRITE_TRIGGERS: asked.Overwrite,
          }),
        ),
        name,
      );
      const [trigger] = questions.ids('AWS::Lambda::Function', 'SyncTriggerFunction');
      assert.deepEqual(asked.FunctionArn, { 'Fn::GetAtt': [trigger, 'Arn'] }, name);
    }
    const { USER_SYNC_USER_POOL_ID, USER_SYNC_CHAIN_POST_CONFIRMATION } =
      of('Chained').environment('PoolTriggers');
    assert.equal(USER_SYNC_USER_POOL_ID, 'eu-west-1_Chained');
    assert.equal(USER_SYNC_CHAIN_POST_CONFIRMATION, 'arn:aws:lambda:eu-west-1:123456789012:function:Welcome');
  });

  test('is set by rights on the one pool, on its sender’s key and on its one role', () => {
    const role = 'SyncPoolTriggersFunctionRole';
    const pool = [
      'DescribeUserPool',
      'GetUserPoolMfaConfig',
      'SetUserPoolMfaConfig',
      // An update of a pool with tags sends them, too.
      'TagResource',
      'UntagResource',
      'UpdateUserPool',
    ].map((action) => `cognito-idp:${action}`);
    const others = of('Chained')
      .allowed(role)
      .filter((action) => !action.startsWith('logs:'));
    assert.deepEqual(others, [
      ...pool,
      'iam:CreateServiceLinkedRole',
      'iam:PassRole',
      'kms:CreateGrant',
      'lambda:ListTags',
    ]);
    const pass = of('Chained')
      .statements(role)
      .find(({ Action }) => Action === 'iam:PassRole')!;
    assert.equal(pass.Resource, 'arn:aws:iam::123456789012:role/sms');
    assert.deepEqual(pass.Condition, {
      StringEquals: { 'iam:PassedToService': 'cognito-idp.amazonaws.com' },
    });
    assert.ok(!of('ImportedPool').allowed(role).includes('iam:PassRole'));
  });

  test('calls who was the trigger before, and only them', () => {
    const environment = of('Chained').environment('Trigger');
    assert.equal(
      environment.USER_SYNC_CHAIN_POST_CONFIRMATION,
      'arn:aws:lambda:eu-west-1:123456789012:function:Welcome',
    );
    assert.equal(
      environment.USER_SYNC_CHAIN_POST_AUTHENTICATION,
      'arn:aws:lambda:eu-west-1:123456789012:function:Audit',
    );
    const invoke = of('Chained')
      .statements('SyncTriggerFunctionRole')
      .find(({ Action }) => Action === 'lambda:InvokeFunction')!;
    assert.deepEqual(
      invoke.Resource,
      Object.values(environment).filter((value) => String(value).startsWith('arn:aws:lambda')),
    );
    const named = of('ChainedOwnPool').environment('Trigger');
    assert.equal(named.USER_SYNC_CHAIN_POST_AUTHENTICATION, undefined);
    assert.equal(named.USER_SYNC_CLIENT_METADATA_KEYS, 'ip=clientIp');
    assert.equal(named.USER_SYNC_REFERRAL_CODE_ATTRIBUTE, 'custom:referral_code');
    assert.equal(environment.USER_SYNC_REFERRAL_CODE_ATTRIBUTE, undefined);
  });

  test('is left to be set by hand, with an output that says what', () => {
    of('OutputOnly').template.resourceCountIs('Custom::UserSyncPoolTriggers', 0);
    const arn = {
      'Fn::GetAtt': [of('OutputOnly').ids('AWS::Lambda::Function', 'SyncTriggerFunction')[0], 'Arn'],
    };
    of('OutputOnly').template.hasOutput('*', {
      Value: arn,
      Description: Match.stringLikeRegexp('PostConfirmation and PostAuthentication'),
    });
    assert.equal(of('OutputOnly').ids('AWS::Lambda::Permission', 'SyncPoolTriggersPermission').length, 1);
  });

  test('of a pool in another stack of the app is set without the two waiting for each other', () => {
    const app = new App();
    const userPool = new cognito.UserPool(new Stack(app, 'Pools'), 'Pool');
    const stack = new Stack(app, 'Elsewhere');
    sync(stack, code, { userPool });
    app.synth();
    Template.fromStack(stack).resourceCountIs('Custom::UserSyncPoolTriggers', 1);
  });

  test('refuses to take the place of another trigger of the stack’s pool, and says how to keep it', () => {
    const stack = new Stack(new App(), 'Taken');
    const postConfirmation = lambda.Function.fromFunctionArn(
      stack,
      'Before',
      'arn:aws:lambda:eu-west-1:123456789012:function:before',
    );
    const userPool = new cognito.UserPool(stack, 'Pool', { lambdaTriggers: { postConfirmation } });
    assert.throws(
      () => sync(stack, code, { userPool }),
      /userPool has a postConfirmation trigger already: .* chainPostConfirmation/,
    );
  });
});

describe('rights', () => {
  /** Each with the page that says why. */
  const EXCEPTIONS = new Map([
    // "Giving Lambda functions access to resources in an Amazon VPC", AWS Lambda Developer Guide.
    [
      'NetworkInterfaces',
      'ec2:AssignPrivateIpAddresses,ec2:CreateNetworkInterface,ec2:DeleteNetworkInterface,ec2:DescribeNetworkInterfaces,ec2:DescribeSubnets,ec2:UnassignPrivateIpAddresses',
    ],
    // A trigger that is found may be any function of the account: its tag says whether it is a former one of ours.
    ['tags', 'lambda:ListTags'],
    // "Actions, resources, and condition keys for AWS X-Ray", Service Authorization Reference.
    ['xray', 'xray:PutTelemetryRecords,xray:PutTraceSegments'],
    // "Actions, resources, and condition keys for Amazon Elastic Container Registry", Service Authorization Reference.
    ['ecr', 'ecr:GetAuthorizationToken'],
    // "Actions, resources, and condition keys for Amazon CloudWatch", Service Authorization Reference.
    ['cloudwatch', 'cloudwatch:GetMetricData'],
    // Of one cluster, by a condition: console.test.ts.
    ['tasks', 'ecs:DescribeTasks,ecs:StopTask'],
  ]);

  test('have no wildcard but the named ones', () => {
    for (const [name, questions] of all) {
      for (const id of questions.ids('AWS::IAM::Policy')) {
        for (const statement of questions.resources[id]!.Properties.PolicyDocument.Statement) {
          if (statement.Effect === 'Deny') continue;
          const actions = asList<string>(statement.Action).sort().join();
          const isNamed = [...EXCEPTIONS.values()].includes(actions);
          assert.ok(
            isNamed || !JSON.stringify([statement.Action, statement.Resource]).includes('*'),
            `${name}: ${id}: ${actions}`,
          );
        }
      }
      for (const id of questions.ids('AWS::IAM::Role')) {
        assert.equal(questions.resources[id]!.Properties.ManagedPolicyArns, undefined, `${name}: ${id}`);
        assert.equal(questions.resources[id]!.Properties.Policies, undefined, `${name}: ${id}`);
      }
    }
  });

  test('to make network interfaces are Lambda’s, and denied to the function’s own code', () => {
    for (const [name, questions] of lambdas()) {
      const inside = questions
        .ids('AWS::Lambda::Function')
        .filter((id) => questions.resources[id]!.Properties.VpcConfig);
      assert.ok(inside.length >= 1, name);
      for (const id of inside) {
        const role = questions.resources[id]!.Properties.Role['Fn::GetAtt'][0];
        const denied = questions.statements(role).find(({ Effect }) => Effect === 'Deny')!;
        assert.deepEqual(
          denied.Condition,
          { ArnEquals: { 'lambda:SourceFunctionArn': { 'Fn::GetAtt': [id, 'Arn'] } } },
          name,
        );
        const granted = questions.statements(role).find(({ Sid }) => Sid === 'NetworkInterfaces')!;
        for (const action of asList(granted.Action))
          assert.ok(denied.Action.includes(action), `${name}: ${action}`);
      }
    }
  });

  test('are each function’s own, as is its log, which has a retention', () => {
    for (const [name, questions] of all) {
      const functions = questions
        .ids('AWS::Lambda::Function')
        .map((id) => questions.resources[id]!.Properties);
      const roles = functions.map(({ Role }) => JSON.stringify(Role));
      const logs = functions.map(({ LoggingConfig }) => LoggingConfig.LogGroup.Ref);
      assert.equal(new Set(roles).size, functions.length, name);
      assert.equal(new Set(logs).size, functions.length, name);
      for (const { Role, LoggingConfig } of functions) {
        const writes = questions
          .statements(Role['Fn::GetAtt'][0])
          .filter(({ Action }) => asList(Action).some((action) => action.startsWith('logs:Put')));
        assert.deepEqual(
          writes.map(({ Resource }) => Resource),
          [{ 'Fn::GetAtt': [LoggingConfig.LogGroup.Ref, 'Arn'] }],
          name,
        );
        assert.equal(questions.resources[LoggingConfig.LogGroup.Ref]!.Properties.RetentionInDays, 90, name);
      }
    }
  });

  test('to read the owner’s secret are the migrator’s alone', () => {
    for (const [name, questions] of all) {
      const secret = questions.sync.migrator && questions.environment('Schema').USER_SYNC_DATABASE_SECRET_ARN;
      const holders = questions.ids('AWS::IAM::Policy').filter((id) => {
        const { Statement } = questions.resources[id]!.Properties.PolicyDocument;
        return (
          secret &&
          Statement.some(({ Resource }: { Resource: unknown }) =>
            JSON.stringify(asList(Resource)).includes(JSON.stringify(secret)),
          )
        );
      });
      assert.deepEqual(
        holders.map((id) => id.replace(/RoleDefaultPolicy.*/, '')),
        secret ? ['SyncSchemaFunction'] : [],
        name,
      );
      const named = questions
        .ids('AWS::Lambda::Function')
        .filter(
          (id) =>
            secret &&
            JSON.stringify(questions.resources[id]!.Properties.Environment).includes(JSON.stringify(secret)),
        );
      assert.equal(named.length, secret ? 1 : 0, name);
    }
  });

  test('make no user of the pool an active one, whom Cognito would charge for', () => {
    // Of what reads a user, ListUsers is the one call that does not ("Monthly active users", Amazon Cognito pricing).
    for (const [name, questions] of all) {
      const policies = questions.ids('AWS::IAM::Policy').map((id) => questions.resources[id]!.Properties);
      const asked = JSON.stringify(policies).match(/"cognito-idp:[A-Za-z*]+(?=")/g) ?? [];
      assert.ok(asked.length > 0, name);
      for (const action of asked)
        assert.match(
          action,
          /:(Describe|List|GetUserPoolMfaConfig$|(Update|Set)UserPool|(Tag|Untag)Resource$)/,
          `${name}: ${action}`,
        );
    }
  });

  test('of the drift check are to read, and to say that it goes on', () => {
    const allowed = of('ImportedPool')
      .allowed('SyncDriftFunctionRole')
      .filter((action) => !/^(ec2|logs):/.test(action));
    assert.deepEqual(allowed, [
      'cognito-idp:DescribeUserPool',
      'cognito-idp:ListGroups',
      'cognito-idp:ListUsers',
      'cognito-idp:ListUsersInGroup',
      'events:PutEvents',
      'lambda:InvokeFunction',
    ]);
    const asked = of('ImportedPool')
      .statements('SyncDriftFunctionRole')
      .filter(({ Action }) => Action === 'lambda:InvokeFunction');
    const [rows] = of('ImportedPool').ids('AWS::Lambda::Function', 'SyncRowsFunction');
    assert.deepEqual(
      asked.map(({ Resource }) => Resource),
      [{ 'Fn::GetAtt': [rows, 'Arn'] }],
    );
    assert.deepEqual(of('ImportedPool').environment('Drift').USER_SYNC_ROWS_FUNCTION, { Ref: rows });
    const inside = of('ImportedPool')
      .allowed('SyncRowsFunctionRole')
      .filter((action) => !/^(ec2|logs):/.test(action));
    assert.deepEqual(inside, ['rds-db:connect']);
    assert.match(
      JSON.stringify(of('ImportedPool').environment('Rows').DATABASE_URL),
      /user_sync_reader_login@/,
    );
  });

  test('to redrive are what `user-sync dlq` names, and to replay what `user-sync replay` names', () => {
    const stack = new Stack(new App(), 'Operators');
    const made = sync(stack, code);
    const [redrive, replay] = ['Redrive', 'Replay'].map(
      (id) => new iam.Role(stack, id, { assumedBy: new iam.AccountRootPrincipal() }),
    );
    made.grantRedrive(redrive!);
    made.grantReplay(replay!);
    const questions = new Questions(Template.fromStack(stack));
    const folder = path.join(INFRA, '..', 'src', 'commands', 'dlq');
    const help = fs.readdirSync(folder).map((file) => fs.readFileSync(path.join(folder, file), 'utf8'));
    const needed = new Set(help.join('\n').match(/sqs:[A-Z][A-Za-z]+/g));
    assert.deepEqual(questions.allowed('Redrive'), [...needed].sort());
    assert.deepEqual(questions.allowed('Replay'), [
      'logs:FilterLogEvents',
      'logs:GetLogEvents',
      'sqs:GetQueueAttributes',
      'sqs:SendMessage',
    ]);
  });
});

describe('the database', () => {
  test('is connected to from the one security group, at the database’s port', () => {
    for (const [name, port] of [
      ['ImportedPool', 5_432],
      ['MigrationsSkipped', 6_432],
    ] as const) {
      const egress = of(name).properties(
        'AWS::EC2::SecurityGroup',
        'SyncNetworkSecurityGroup',
      ).SecurityGroupEgress;
      const separate = of(name)
        .ids('AWS::EC2::SecurityGroupEgress')
        .map((id) => of(name).resources[id]!.Properties);
      assert.deepEqual(
        [...egress, ...separate].map(({ FromPort }) => FromPort),
        [443, port],
        name,
      );
    }
  });

  test('behind a proxy is migrated directly', () => {
    assert.match(JSON.stringify(of('Proxy').environment('Schema').DATABASE_URL), /Endpoint\.Address/);
    assert.match(JSON.stringify(of('Proxy').environment('Consumer').DATABASE_URL), /DatabaseProxy.*Endpoint/);
    const connect = of('Proxy')
      .statements('SyncConsumerFunctionRole')
      .find(({ Action }) => Action === 'rds-db:connect')!;
    assert.match(JSON.stringify(connect.Resource), /user_sync_consumer_login/);
  });

  test('of a cluster is migrated when an instance answers', () => {
    const [instance] = of('Cluster').ids('AWS::RDS::DBInstance', '');
    assert.ok(of('Cluster').one('Custom::UserSyncSchema', 'Sync').DependsOn!.includes(instance!));
  });

  test('gets the logins, and the migrator runs again with new code', () => {
    const { ServiceToken, Code, ...iamLogins } = of('ImportedPool').properties(
      'Custom::UserSyncSchema',
      'Sync',
    );
    assert.deepEqual(iamLogins, {
      Auth: 'iam',
      ConsumerUser: 'user_sync_consumer_login',
      ReaderUser: 'user_sync_reader_login',
    });
    assert.ok(ServiceToken);
    const changed = dist();
    fs.writeFileSync(path.join(changed, 'lambda', 'user-sync-operator', 'bootstrap'), 'another');
    const stack = new Stack(new App(), 'ImportedPool');
    sync(stack, changed);
    assert.notEqual(
      new Questions(Template.fromStack(stack)).properties('Custom::UserSyncSchema', 'Sync').Code,
      Code,
    );
    const secrets = of('Secret').properties('Custom::UserSyncSchema', 'Sync');
    assert.equal(secrets.Auth, 'secret');
    assert.match(
      JSON.stringify([secrets.ConsumerSecretArn, secrets.ReaderSecretArn]),
      /SyncLoginsConsumerSecret.*SyncLoginsReaderSecret/,
    );
  });

  test('gets the logins that the migrator’s environment says, and no others', () => {
    for (const [name, questions] of all) {
      if (!questions.sync.migrator) continue;
      const asked = questions.properties('Custom::UserSyncSchema', 'Sync');
      const said = questions.environment('Schema');
      assert.deepEqual(
        [
          said.USER_SYNC_LOGINS_AUTH,
          said.USER_SYNC_CONSUMER_LOGIN,
          said.USER_SYNC_CONSUMER_SECRET_ARN,
          said.USER_SYNC_READER_LOGIN,
          said.USER_SYNC_READER_SECRET_ARN,
        ],
        [asked.Auth, asked.ConsumerUser, asked.ConsumerSecretArn, asked.ReaderUser, asked.ReaderSecretArn],
        name,
      );
      assert.ok(said.USER_SYNC_CONSUMER_LOGIN, name);
    }
  });

  test('has secrets in RDS’s form, rotated when that is asked for and there is a login to rotate', () => {
    const template = JSON.stringify(
      of('Secret').properties('AWS::SecretsManager::Secret', 'SyncLoginsConsumerSecret').GenerateSecretString
        .SecretStringTemplate,
    );
    for (const key of ['username', 'engine', 'host', 'port', 'dbname'])
      assert.match(template, new RegExp(`\\\\"${key}\\\\":`));
    assert.deepEqual(of('Secret').ids('AWS::SecretsManager::RotationSchedule'), []);
    const schedules = of('SecretRotated').ids('AWS::SecretsManager::RotationSchedule');
    assert.equal(schedules.length, 2);
    const [migration] = of('SecretRotated').ids('Custom::UserSyncSchema');
    for (const id of schedules) assert.ok(of('SecretRotated').resources[id]!.DependsOn!.includes(migration!));
    assert.deepEqual(of('SecretGiven').ids('AWS::SecretsManager::Secret'), []);
  });

  test('is maintained daily, unless migrations are skipped', () => {
    const [rule] = of('ImportedPool').ids('AWS::Events::Rule', 'SyncSchemaMaintenance');
    const { ScheduleExpression, Targets } = of('ImportedPool').resources[rule!]!.Properties;
    assert.equal(ScheduleExpression, 'rate(1 day)');
    assert.deepEqual(JSON.parse(Targets[0].Input), { maintain: { retentionDays: 400, monthsAhead: 3 } });
    assert.equal(of('MigrationsSkipped').sync.migrator, undefined);
    assert.throws(
      () => of('MigrationsSkipped').sync.metricLedgerDaysAhead(),
      /migrations is Migrations\.SKIP/,
    );
    assert.throws(() => of('DriftOff').sync.metricDrift(), /driftCheck is DriftCheck\.none\(\)/);
  });
});

describe('the lifecycle function', () => {
  const operating = fs.readFileSync(path.join(INFRA, '..', 'docs', 'operating.md'), 'utf8');

  test('is called by the rules that docs/operating.md shows, and for all that the program knows', () => {
    const blocks = [...operating.matchAll(/```json\n(\{\n {2}"source"[^`]+)```/g)];
    const [all, ofPool] = blocks.map(([, block]) =>
      JSON.parse(block!.replaceAll('Abc123Def', 'ImportedPool')),
    );
    assert.equal(blocks.length, 2);
    const pattern = (rule: string) => of('ImportedPool').properties('AWS::Events::Rule', rule).EventPattern;
    const [users, pool] = [pattern('SyncLifecycleRule'), pattern('SyncLifecyclePoolChanges')];
    assert.deepEqual(pool, ofPool);
    // By hand it is one rule; the construct knows which pool's changes it is to be told of.
    const eventName = [...users.detail.eventName, ...pool.detail.eventName];
    assert.deepEqual({ ...users, detail: { ...users.detail, eventName } }, all);
    const program = fs.readFileSync(path.join(INFRA, '..', 'src', 'cognito', 'cloudtrail.rs'), 'utf8');
    const [, operations] = /const OPERATIONS: .*? = \[\n([^]*?)\n\];/.exec(program)!;
    const known = [...operations!.matchAll(/\("(\w+)", Effect::(\w+)\)/g)];
    const named = (isPools: boolean) =>
      known.filter(([, , effect]) => (effect === 'PoolChanged') === isPools).map(([, name]) => name);
    assert.deepEqual(users.detail.eventName, named(false));
    assert.deepEqual(pool.detail.eventName, named(true));
    assert.equal(named(true).length, 4);
  });

  test('may read what it follows', () => {
    assert.deepEqual(
      of('ImportedPool')
        .allowed('SyncLifecycleFunctionRole')
        .filter((action) => !action.startsWith('logs:')),
      ['DescribeUserPool', 'ListUserPoolClients', 'ListUsers']
        .map((action) => `cognito-idp:${action}`)
        .concat('sqs:SendMessage'),
    );
  });

  test('sends a heartbeat every 5 minutes or as often as is said, and nothing else when it is off', () => {
    for (const [name, questions] of all) {
      const { ScheduleExpression, Targets } = questions.properties(
        'AWS::Events::Rule',
        'SyncLifecycleHeartbeat',
      );
      assert.equal(ScheduleExpression, name === 'Traced' ? 'rate(30 minutes)' : 'rate(5 minutes)', name);
      assert.deepEqual(JSON.parse(Targets[0].Input), { heartbeat: true }, name);
    }
    assert.deepEqual(of('LifecycleOff').ids('AWS::Events::Rule', 'SyncLifecycleRule'), []);
    assert.deepEqual(
      of('LifecycleOff')
        .allowed('SyncLifecycleFunctionRole')
        .filter((action) => action.startsWith('cognito-idp:')),
      ['cognito-idp:DescribeUserPool'],
    );
  });

  test('looks at the pool’s triggers with each heartbeat, unless they are set by hand', () => {
    for (const [name, questions] of all) {
      const trigger = {
        'Fn::GetAtt': [questions.ids('AWS::Lambda::Function', 'SyncTriggerFunction')[0], 'Arn'],
      };
      const expected = name === 'OutputOnly' ? undefined : trigger;
      assert.deepEqual(questions.environment('Lifecycle').USER_SYNC_TRIGGER_ARN, expected, name);
      const may = questions.allowed('SyncLifecycleFunctionRole').includes('cognito-idp:DescribeUserPool');
      assert.equal(may, expected !== undefined, name);
      assert.equal(names(questions).includes('TriggersMissing'), may, name);
    }
  });

  test('has a concurrency of its own only where it was said, and no other function has one', () => {
    for (const [name, questions] of all) {
      const reserved = questions
        .ids('AWS::Lambda::Function')
        .filter((id) => 'ReservedConcurrentExecutions' in questions.resources[id]!.Properties);
      assert.deepEqual(
        reserved,
        name === 'Endpoints' ? questions.ids('AWS::Lambda::Function', 'SyncLifecycle') : [],
        name,
      );
    }
    assert.equal(of('Endpoints').function('Lifecycle').ReservedConcurrentExecutions, 2);
  });

  test('keeps what it had to give up', () => {
    const config = of('ImportedPool').properties('AWS::Lambda::EventInvokeConfig', 'SyncLifecycle');
    const [failures] = of('ImportedPool').ids('AWS::SQS::Queue', 'SyncLifecycleFailures');
    assert.deepEqual(config.DestinationConfig.OnFailure.Destination, { 'Fn::GetAtt': [failures, 'Arn'] });
    const [target] = of('ImportedPool').properties('AWS::Events::Rule', 'SyncLifecycleRule').Targets;
    assert.deepEqual(target.DeadLetterConfig.Arn, { 'Fn::GetAtt': [failures, 'Arn'] });
  });
});

test('security groups are described in the few characters that EC2 takes', () => {
  // "SecurityGroup: GroupDescription", Amazon EC2 API Reference; neither linter knows it for rules.
  const allowed = /^[a-zA-Z0-9. _\-:/()#,@[\]+=&;{}!$*]{0,255}$/;
  for (const [name, questions] of all) {
    const groups = questions.ids('AWS::EC2::SecurityGroup').map((id) => questions.resources[id]!.Properties);
    const inline = groups.flatMap(({ SecurityGroupEgress = [], SecurityGroupIngress = [] }) => [
      ...SecurityGroupEgress,
      ...SecurityGroupIngress,
    ]);
    const apart = ['Egress', 'Ingress'].flatMap((kind) =>
      questions.ids(`AWS::EC2::SecurityGroup${kind}`, ''),
    );
    const rules = [...inline, ...apart.map((id) => questions.resources[id]!.Properties)];
    const descriptions = [
      ...groups.map(({ GroupDescription }) => GroupDescription),
      ...rules.map(({ Description }) => Description),
    ];
    assert.ok(descriptions.length >= 3, name);
    for (const description of descriptions) assert.match(description, allowed, name);
  }
});

describe('endpoints', () => {
  const services = (name: string) =>
    of(name)
      .ids('AWS::EC2::VPCEndpoint')
      .map(
        (id) =>
          /\.([a-z0-9-]+(?:\.(?:api|dkr))?)"/.exec(
            JSON.stringify(of(name).resources[id]!.Properties.ServiceName),
          )![1],
      )
      .sort();

  test('are those that are needed, and only if asked for', () => {
    assert.deepEqual(services('ImportedPool'), []);
    assert.deepEqual(services('Endpoints'), ['secretsmanager', 'sqs']);
    assert.deepEqual(services('Fargate'), ['ecr.api', 'ecr.dkr', 'logs', 's3', 'secretsmanager', 'sqs']);
  });

  test('let in whoever is in the VPC, since each takes its service’s name for all of it', () => {
    for (const id of of('Endpoints').ids('AWS::EC2::VPCEndpoint')) {
      const [group] = of('Endpoints').resources[id]!.Properties.SecurityGroupIds;
      const { SecurityGroupIngress } = of('Endpoints').resources[group['Fn::GetAtt'][0]]!.Properties;
      assert.deepEqual(
        SecurityGroupIngress.map(({ CidrIp, FromPort }: any) => [CidrIp, FromPort]),
        [['10.0.0.0/16', 443]],
      );
    }
  });
});

const names = (questions: { sync: CognitoUserSync }) =>
  questions.sync.alarms.map(({ node }) => node.id).sort();

describe('alarms', () => {
  const runbook = fs.readFileSync(path.join(INFRA, '..', 'docs', 'runbook.md'), 'utf8');
  const sections = [...runbook.matchAll(/^### (.*)$/gm)].map(([, title]) => title);

  test('are one for each way in which users could stop being synced', () => {
    const always = [
      'DatabaseMisconfigured',
      'DeadLetters',
      'Freshness',
      'HeartbeatMissing',
      'LifecycleFailures',
      'OldestMessage',
      'TriggerDuration',
      'TriggerErrors',
      'TriggerThrottles',
      'TriggersMissing',
      'Undelivered',
    ];
    const drift = ['Drift', 'DriftCheckFails', 'DriftCheckMissing'];
    assert.deepEqual(
      names(of('ImportedPool')),
      [...always, ...drift, 'ConsumerErrors', 'LedgerHorizon'].sort(),
    );
    assert.deepEqual(
      names(of('Chained')),
      [...always, ...drift, 'ChainFailed', 'ConsumerErrors', 'LedgerHorizon'].sort(),
    );
    assert.deepEqual(names(of('Fargate')), [...always, ...drift, 'LedgerHorizon'].sort());
    assert.deepEqual(
      names(of('Keep')),
      [...always, ...drift, 'ConsumerErrors', 'LedgerHorizon', 'TriggersNotPutBack'].sort(),
    );
    assert.deepEqual(names(of('DriftOff')), [...always, 'ConsumerErrors', 'LedgerHorizon'].sort());
    assert.deepEqual(names(of('MigrationsSkipped')), [...always, ...drift, 'ConsumerErrors'].sort());
  });

  test('say what to do by a section that the runbook has', () => {
    for (const [name, questions] of all) {
      for (const id of questions.ids('AWS::CloudWatch::Alarm')) {
        const said = /docs\/runbook\.md, "([^"]+)"\.$/.exec(
          questions.resources[id]!.Properties.AlarmDescription,
        );
        assert.ok(said && sections.includes(said[1]!), `${name}: ${id}`);
      }
    }
  });

  test('know what silence means', () => {
    const silent = (name: string) =>
      of(name)
        .ids('AWS::CloudWatch::Alarm')
        .filter((id) => of(name).resources[id]!.Properties.TreatMissingData === 'breaching');
    for (const [name, questions] of all) {
      for (const id of questions.ids('AWS::CloudWatch::Alarm')) {
        assert.match(
          questions.resources[id]!.Properties.TreatMissingData,
          /^(breaching|notBreaching)$/,
          `${name}: ${id}`,
        );
      }
    }
    assert.deepEqual(
      silent('ImportedPool').map((id) => /^SyncMonitoring(.*)[0-9A-F]{8}$/.exec(id)![1]),
      ['HeartbeatMissing', 'LedgerHorizon', 'DriftCheckMissing'],
    );
  });

  test('tell the topic that they are raised and that they are over, all of them', () => {
    for (const [name, questions] of all) {
      const topic = questions.ids('AWS::SNS::Topic', 'Topic').map((id) => ({ Ref: id }));
      for (const id of questions.ids('AWS::CloudWatch::Alarm')) {
        const { AlarmActions = [], OKActions = [] } = questions.resources[id]!.Properties;
        assert.deepEqual([AlarmActions, OKActions], [topic, topic], `${name}: ${id}`);
      }
    }
  });

  test('evaluate no more than CloudWatch does', () => {
    // "Period and EvaluationPeriods", PutMetricAlarm: seven days where the period is an hour or more, else one.
    for (const [name, questions] of all) {
      for (const id of questions.ids('AWS::CloudWatch::Alarm')) {
        const { Metrics = [], EvaluationPeriods, ...alarm } = questions.resources[id]!.Properties;
        const periods = Metrics.flatMap(({ MetricStat }: any) => MetricStat?.Period ?? []);
        const Period: number = alarm.Period ?? Math.max(...periods);
        assert.ok(Period * EvaluationPeriods <= (Period >= 3_600 ? 7 : 1) * 86_400, `${name}: ${id}`);
      }
    }
  });

  test('watch metrics that carry the name of who counts', () => {
    const { sync: made } = of('ImportedPool');
    const stack = Stack.of(made);
    const dimension = (metric: cloudwatch.Metric) =>
      stack.resolve(metric.toMetricConfig().metricStat!.dimensions);
    const service = (name: string) => [
      {
        name: 'service',
        value: { Ref: of('ImportedPool').ids('AWS::Lambda::Function', `Sync${name}Function`)[0] },
      },
    ];
    assert.deepEqual(dimension(made.metricUndelivered()), service('Trigger'));
    assert.deepEqual(dimension(made.metricFreshness()), service('Consumer'));
    assert.deepEqual(dimension(made.metricHeartbeats()), service('Consumer'));
    assert.deepEqual(dimension(made.metricDrift()), service('Drift'));
    assert.deepEqual(dimension(made.metricLedgerDaysAhead()), service('Schema'));
    assert.equal(made.metricFreshness().statistic, 'p99');
    assert.equal(made.metricFreshness({ statistic: 'p50' }).statistic, 'p50');
    for (const metric of [made.metricOldestMessage(), made.metricDeadLetters()])
      assert.equal(metric.namespace, 'AWS/SQS');
  });

  test('are on a dashboard, below the answers', () => {
    const body = of('ImportedPool').properties(
      'AWS::CloudWatch::Dashboard',
      'SyncMonitoringDashboard',
    ).DashboardBody;
    const shown = JSON.stringify(body);
    const order = [
      'Is anybody not synced?',
      'How fresh are the rows?',
      'Sign-ups and logins an hour',
      'Alarms. Good: all green',
      'From sign-in to queue',
    ];
    const places = order.map((title) => shown.indexOf(title));
    assert.ok(!places.includes(-1), String(places));
    assert.deepEqual(
      places,
      [...places].sort((a, b) => a - b),
    );
  });
});

describe('what cannot be', () => {
  const withoutWorker = () => {
    const folder = dist();
    fs.rmSync(path.join(folder, 'worker'), { recursive: true });
    return folder;
  };
  const aurora = (resourceId?: string) =>
    UserSyncDatabase.fromAttributes({ host: 'db.example.com', resourceId });
  const CASES: [string, (stack: Stack) => object, RegExp][] = [
    [
      'no message',
      () => ({ compute: UserSyncCompute.lambda({ batchSize: 0 }) }),
      /batchSize is 0: it must be a whole number from 1 to 10000/,
    ],
    [
      'too many messages',
      () => ({ compute: UserSyncCompute.lambda({ batchSize: 10_001 }) }),
      /batchSize is 10001: it must be a whole number from 1 to 10000/,
    ],
    [
      'half a message',
      () => ({ compute: UserSyncCompute.lambda({ batchSize: 1.5 }) }),
      /batchSize is 1\.5: it must be a whole number/,
    ],
    [
      'a long window',
      () => ({ compute: UserSyncCompute.lambda({ maxBatchingWindow: Duration.minutes(6) }) }),
      /maxBatchingWindow is "360 s": it must be whole seconds from 0 to 300/,
    ],
    [
      'no window',
      () => ({ compute: UserSyncCompute.lambda({ maxBatchingWindow: Duration.seconds(0) }) }),
      /maxBatchingWindow is "0 s": it must be 1 s at least, since compute\.batchSize is 1000/,
    ],
    [
      'one consumer',
      () => ({ compute: UserSyncCompute.lambda({ maxConcurrency: 1 }) }),
      /maxConcurrency is 1: it must be a whole number from 2 to 1000/,
    ],
    [
      'no receives',
      () => ({ maxReceiveCount: 0 }),
      /maxReceiveCount is 0: it must be a whole number from 1 to 1000/,
    ],
    [
      'a short ledger',
      () => ({ ledgerRetention: Duration.days(30) }),
      /ledgerRetention is 30: it must be a whole number from 31 to 3650/,
    ],
    [
      'no memory',
      () => ({ compute: UserSyncCompute.lambda({ memorySize: 64 }) }),
      /memorySize is 64: it must be a whole number from 128 to 10240/,
    ],
    [
      'a strange name',
      () => ({ databaseName: 'my app' }),
      /databaseName is "my app": it must be 1 to 63 letters/,
    ],
    ['a strange login', () => ({ auth: DatabaseAuth.iam({ consumerUser: 'a@b' }) }), /consumerUser is "a@b"/],
    [
      'rotation all the time',
      () => ({ auth: DatabaseAuth.secret({ rotateAfter: Duration.hours(1) }) }),
      /rotateAfter is "3600 s": it must be whole seconds from 14400/,
    ],
    [
      'rotation of given secrets',
      (stack) => {
        const [consumer, reader] = ['A', 'B'].map((id) =>
          secretsmanager.Secret.fromSecretNameV2(stack, id, id),
        );
        return { auth: DatabaseAuth.secret({ consumer, reader, rotateAfter: Duration.days(1) }) };
      },
      /rotateAfter is .*: it must be left out when both secrets are given/,
    ],
    [
      'nobody to migrate',
      () => ({ database: aurora('db-1') }),
      /database has no adminSecret, .* give adminSecret .* or migrations: Migrations\.SKIP/,
    ],
    [
      'IAM without an id',
      () => ({ database: aurora(), migrations: Migrations.SKIP }),
      /database is db\.example\.com without resourceId: .* give resourceId/,
    ],
    [
      'no tasks',
      () => ({ compute: UserSyncCompute.fargate({ desiredCount: 0 }) }),
      /desiredCount is 0: it must be a whole number from 1 to 100/,
    ],
    [
      'many batches at once',
      () => ({ compute: UserSyncCompute.fargate({ concurrency: 65 }) }),
      /concurrency is 65: it must be a whole number from 1 to 64/,
    ],
    [
      'a worker that is not built',
      () => ({ compute: UserSyncCompute.fargate(), code: withoutWorker() }),
      /code has no .*worker\/user-sync: run `make lambda` first/,
    ],
    [
      'a drift check all the time',
      () => ({ driftCheck: DriftCheck.every(Duration.minutes(5)) }),
      /driftCheck is "300 s": it must be whole seconds from 3600 to 259200/,
    ],
    ...[0, 1.5, 101].map((lifecycleConcurrency): (typeof CASES)[number] => [
      `${lifecycleConcurrency} lifecycle functions`,
      () => ({ lifecycleConcurrency }),
      /lifecycleConcurrency is [\d.]+: it must be a whole number from 1 to 100/,
    ]),
    ['a key with a comma', () => ({ clientMetadataKeys: { ip: 'a,b' } }), /clientMetadataKeys is "a,b"/],
    [
      'an attribute with a blank',
      () => ({ referralCodeAttribute: 'referral code' }),
      /referralCodeAttribute is "referral code": it must be an attribute's name/,
    ],
    [
      'nothing built',
      () => ({ code: '/nowhere' }),
      /code has no \/nowhere\/lambda\/user-sync-trigger\/bootstrap: run `make lambda` first/,
    ],
    [
      'no certificates',
      () => ({ certificateAuthorities: '/nowhere.pem' }),
      /certificateAuthorities is "\/nowhere\.pem": there is no such file/,
    ],
  ];

  for (const [title, changes, message] of CASES) {
    test(`${title} is refused by name`, () => {
      const stack = new Stack(new App(), 'Refused');
      assert.throws(() => sync(stack, code, changes(stack)), message);
    });
  }

  test('a region whose authorities are not at hand is refused, unless they are given', () => {
    const made = (region: string, changes: object = {}) => {
      const stack = new Stack(new App(), 'Stack', { env: { region, account: '123456789012' } });
      return sync(stack, code, { userPool: new cognito.UserPool(stack, 'Own'), ...changes });
    };
    for (const region of ['us-east-1', 'eu-west-1', 'eu-central-2', 'ap-southeast-4']) made(region);
    for (const region of ['il-central-1', 'cn-north-1', 'us-gov-west-1']) {
      assert.throws(
        () => made(region),
        new RegExp(`certificateAuthorities is missing, and in ${region} it is needed`),
      );
    }
    const file = path.join(code, 'given.pem');
    fs.writeFileSync(file, 'given');
    made('il-central-1', { certificateAuthorities: file });
  });
});

test('the layer has the roots of RDS and of its proxies', () => {
  const app = new App();
  const stack = new Stack(app, 'Layer');
  sync(stack, code);
  const { directory } = app.synth();
  const layers = fs
    .readdirSync(directory)
    .filter((name) => fs.existsSync(path.join(directory, name, 'rds-ca.pem')));
  assert.equal(layers.length, 1);
  const pem = fs.readFileSync(path.join(directory, layers[0]!, 'rds-ca.pem'), 'utf8');
  const count = pem.match(/-----BEGIN CERTIFICATE-----\n/g)!.length;
  assert.ok(count > 100, `${count}`);
  assert.equal(count, pem.match(/\n-----END CERTIFICATE-----\n/g)!.length);
});

test('an attached trigger may be told to replace another', () => {
  const stack = new Stack(new App(), 'Overwrite');
  sync(stack, code, { triggers: PoolTriggers.attach({ overwrite: true }) });
  Template.fromStack(stack).hasResourceProperties('Custom::UserSyncPoolTriggers', { Overwrite: 'true' });
});

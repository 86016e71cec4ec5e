/** The console: who reaches it, who signs people in, what its task may do, and what is refused. */
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, test } from 'node:test';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  CognitoUserSyncProps,
  ConsoleRight,
  DatabaseAuth,
  FargateConsoleOptions,
  PoolTriggers,
  UserSyncCompute,
  UserSyncDatabase,
} from '../lib';
import { dist, INFRA } from './support';
import { Questions, Statement } from './template';
import { consoleOf, staff, sync } from './variants';

process.env.CDK_VALIDATION = 'false';

/* eslint-disable @typescript-eslint/no-explicit-any */
const code = dist();

type Changes = Partial<CognitoUserSyncProps>;
type Options = Partial<FargateConsoleOptions>;

const image = ecs.ContainerImage.fromRegistry('example/user-sync');
const ACTS: Options = { allow: [ConsoleRight.REVEAL, ConsoleRight.ACT] };
const ROLE = 'SyncConsoleTaskTaskRole';

function synthesized(
  options: (stack: Stack) => Options = () => ({}),
  changes: (stack: Stack) => Changes = () => ({}),
) {
  const stack = new Stack(new App(), 'Made');
  const made = sync(stack, code, { console: consoleOf(stack, options(stack)), ...changes(stack) });
  return Object.assign(new Questions(Template.fromStack(stack)), { made });
}

const acting = (changes: (stack: Stack) => Changes = () => ({}), options: Options = {}) =>
  synthesized(
    () => ({ ...ACTS, ...options }),
    (stack) => ({ commandTask: { image }, ...changes(stack) }),
  );

const container = (questions: Questions) =>
  questions.properties('AWS::ECS::TaskDefinition', 'SyncConsoleTask').ContainerDefinitions[0];

const variables = (questions: Questions): Record<string, any> =>
  Object.fromEntries(container(questions).Environment.map(({ Name, Value }: any) => [Name, Value]));

/** `action resource`, with the condition where there is one, of all that a role may do. */
function rights(questions: Questions, role: string): string[] {
  const name = (resource: any) => JSON.stringify(resource['Fn::GetAtt']?.[0] ?? resource.Ref ?? resource);
  const each = ({ Action, Resource, Condition }: Statement) =>
    [Action]
      .flat()
      .flatMap((action) =>
        [Resource]
          .flat()
          .map(
            (resource) =>
              `${action} ${name(resource).replace(/[0-9A-F]{8}"$/, '"')}${Condition ? ' if' : ''}`,
          ),
      );
  return [...new Set(questions.statements(role).flatMap(each))].sort();
}

/** Who is let in to a group, at which port; of the groups that this template makes. */
function lets(questions: Questions, direction: 'Ingress' | 'Egress', group: string): string[] {
  const [id] = questions.ids('AWS::EC2::SecurityGroup', group);
  const inline = questions.resources[id!]!.Properties[`SecurityGroup${direction}`] ?? [];
  const apart = Object.values(questions.resources)
    .filter(({ Type }) => Type === `AWS::EC2::SecurityGroup${direction}`)
    .map(({ Properties }) => Properties)
    .filter(({ GroupId }) => GroupId['Fn::GetAtt']?.[0] === id);
  return [...inline, ...apart]
    .map(({ CidrIp, SourceSecurityGroupId, DestinationSecurityGroupId, FromPort, ToPort }: any) => {
      assert.equal(FromPort, ToPort);
      const other = SourceSecurityGroupId ?? DestinationSecurityGroupId;
      return `${FromPort} ${CidrIp ?? other['Fn::GetAtt']?.[0].replace(/[0-9A-F]{8}$/, '') ?? other}`;
    })
    .sort();
}

const isolated = (stack: Stack) =>
  new ec2.Vpc(stack, 'Vpc', {
    natGateways: 0,
    subnetConfiguration: [{ name: 'Isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED }],
  });

test('there is none unless it is asked for, and nothing that is the console’s', () => {
  for (const auth of [DatabaseAuth.secret(), DatabaseAuth.iam()]) {
    const stack = new Stack(new App(), 'Made');
    const made = sync(stack, code, { auth });
    assert.deepEqual(
      [made.consoleService, made.consoleLoadBalancer, made.consoleSecret, made.dailyFunction],
      [undefined, undefined, undefined, undefined],
    );
    const questions = new Questions(Template.fromStack(stack));
    assert.doesNotMatch(JSON.stringify(questions.resources), /console/i);
  }
});

describe('who reaches it', () => {
  const questions = synthesized((stack) => ({
    peers: [
      ec2.Peer.ipv4('10.0.0.0/16'),
      ec2.SecurityGroup.fromSecurityGroupId(stack, 'Vpn', 'sg-0123456789abcdef2'),
    ],
  }));

  test('is who may reach the load balancer, which has no public address', () => {
    const { Scheme, LoadBalancerAttributes } = questions.properties(
      'AWS::ElasticLoadBalancingV2::LoadBalancer',
      'SyncConsole',
    );
    assert.equal(Scheme, 'internal');
    assert.ok(
      LoadBalancerAttributes.some(
        ({ Key, Value }: any) =>
          Key === 'routing.http.drop_invalid_header_fields.enabled' && Value === 'true',
      ),
    );
    const group = 'SyncConsoleLoadBalancerGroup';
    assert.deepEqual(lets(questions, 'Ingress', group), ['443 10.0.0.0/16', '443 sg-0123456789abcdef2']);
    assert.deepEqual(lets(questions, 'Egress', group), ['443 0.0.0.0/0', '8787 SyncConsoleSecurityGroup']);
  });

  test('and of the task the load balancer alone', () => {
    const group = 'SyncConsoleSecurityGroup';
    assert.deepEqual(lets(questions, 'Ingress', group), ['8787 SyncConsoleLoadBalancerGroup']);
    assert.deepEqual(lets(questions, 'Egress', group), ['443 0.0.0.0/0', '5432 sg-0123456789abcdef0']);
    const { AwsvpcConfiguration } = questions.properties(
      'AWS::ECS::Service',
      'SyncConsole',
    ).NetworkConfiguration;
    assert.equal(AwsvpcConfiguration.AssignPublicIp, 'DISABLED');
    const [id] = questions.ids('AWS::EC2::SecurityGroup', group);
    assert.deepEqual(AwsvpcConfiguration.SecurityGroups, [{ 'Fn::GetAtt': [id, 'GroupId'] }]);
  });

  test('and nobody reaches what connects to the database beside it', () => {
    assert.deepEqual(lets(questions, 'Ingress', 'SyncNetworkSecurityGroup'), []);
  });

  test('an endpoint of ours lets the task in, whoever else is let in', () => {
    const peers = [ec2.Peer.ipv4('10.9.0.0/16')];
    const { resources } = synthesized(
      () => ({}),
      () => ({ endpoints: { sqs: true, onImportedVpc: true, peers } }),
    );
    const found = Object.values(resources).filter(
      ({ Type, Properties }) =>
        Type === 'AWS::EC2::SecurityGroupIngress' &&
        /Endpoints/.test(JSON.stringify(Properties.GroupId)) &&
        /SyncConsoleSecurityGroup/.test(JSON.stringify(Properties.SourceSecurityGroupId)),
    );
    assert.deepEqual(
      found.map(({ Properties }) => Properties.FromPort),
      [443],
    );
  });
});

describe('who signs people in', () => {
  const listener = (questions: Questions) =>
    questions.properties('AWS::ElasticLoadBalancingV2::Listener', 'SyncConsole');

  test('is a provider of OpenID Connect, whose client’s secret stands in no template', () => {
    const questions = synthesized();
    const { Port, Protocol, SslPolicy, DefaultActions } = listener(questions);
    assert.deepEqual([Port, Protocol], [443, 'HTTPS']);
    assert.match(SslPolicy, /TLS13/);
    const { ClientSecret, ...config } = DefaultActions[0].AuthenticateOidcConfig;
    assert.match(JSON.stringify(ClientSecret), /\{\{resolve:secretsmanager:.*console-client/);
    assert.deepEqual(config, {
      AuthorizationEndpoint: 'https://idp.example.com/authorize',
      ClientId: 'console',
      Issuer: 'https://idp.example.com',
      Scope: 'openid email groups',
      SessionTimeout: '28800',
      TokenEndpoint: 'https://idp.example.com/token',
      UserInfoEndpoint: 'https://idp.example.com/userinfo',
    });
    assert.doesNotMatch(JSON.stringify(container(questions)), /resolve:secretsmanager/);
    const told = variables(questions);
    assert.deepEqual(
      [
        told.USER_SYNC_CONSOLE_OIDC_ISSUER,
        told.USER_SYNC_CONSOLE_OIDC_CLIENT,
        told.USER_SYNC_CONSOLE_OIDC_CLAIM,
      ],
      ['https://idp.example.com', 'console', 'groups'],
    );
  });

  test('or a user pool, which is asked for the attribute that gives rights', () => {
    const questions = synthesized((stack) => ({ signIn: staff(stack), sessionTimeout: Duration.hours(1) }));
    const { AuthenticateCognitoConfig } = listener(questions).DefaultActions[0];
    const [pool] = questions.ids('AWS::Cognito::UserPool', 'Staff');
    const [client] = questions.ids('AWS::Cognito::UserPoolClient', 'Staff');
    assert.deepEqual(AuthenticateCognitoConfig.UserPoolArn, { 'Fn::GetAtt': [pool, 'Arn'] });
    assert.deepEqual(AuthenticateCognitoConfig.UserPoolClientId, { Ref: client });
    assert.deepEqual(
      [AuthenticateCognitoConfig.Scope, AuthenticateCognitoConfig.SessionTimeout],
      ['openid', '3600'],
    );
    const told = variables(questions);
    assert.equal(told.USER_SYNC_CONSOLE_OIDC_CLAIM, 'custom:console');
    assert.deepEqual(told.USER_SYNC_CONSOLE_OIDC_CLIENT, { Ref: client });
    assert.deepEqual(told.USER_SYNC_CONSOLE_OIDC_ISSUER['Fn::Join'][1], [
      'https://cognito-idp.',
      { Ref: 'AWS::Region' },
      '.',
      { Ref: 'AWS::URLSuffix' },
      '/',
      { Ref: pool },
    ]);
  });

  test('nothing gets by: the one listener has one way, and the load balancer asks the task itself how it is', () => {
    for (const questions of [synthesized(), synthesized((stack) => ({ signIn: staff(stack) }))]) {
      assert.equal(questions.ids('AWS::ElasticLoadBalancingV2::Listener').length, 1);
      assert.deepEqual(questions.ids('AWS::ElasticLoadBalancingV2::ListenerRule'), []);
      const [first, second, ...others] = listener(questions).DefaultActions;
      assert.match(first.Type, /^authenticate-(oidc|cognito)$/);
      const config = first.AuthenticateOidcConfig ?? first.AuthenticateCognitoConfig;
      assert.ok(['authenticate', undefined].includes(config.OnUnauthenticatedRequest));
      assert.deepEqual([second.Type, others], ['forward', []]);
      assert.ok(first.Order < second.Order);
      const targets = questions.properties('AWS::ElasticLoadBalancingV2::TargetGroup', 'SyncConsole');
      assert.deepEqual(
        [targets.HealthCheckPath, targets.Port, targets.Protocol, targets.TargetType],
        ['/healthz', 8_787, 'HTTP', 'ip'],
      );
    }
  });

  test('the console believes this load balancer alone, under the name that it has a certificate of', () => {
    const questions = synthesized();
    const [loadBalancer] = questions.ids('AWS::ElasticLoadBalancingV2::LoadBalancer');
    const told = variables(questions);
    assert.deepEqual(told.USER_SYNC_CONSOLE_OIDC_LOAD_BALANCER, { Ref: loadBalancer });
    assert.equal(told.USER_SYNC_CONSOLE_BEHIND_TLS, 'console.example.com');
    assert.equal(told.USER_SYNC_CONSOLE_LISTEN, '0.0.0.0:8787');
    assert.deepEqual(container(questions).PortMappings, [{ ContainerPort: 8_787, Protocol: 'tcp' }]);
  });
});

describe('what it may do', () => {
  const READS = [
    'cloudwatch:GetMetricData "*"',
    'sqs:GetQueueAttributes "SyncTriggerDeadLetterQueue"',
    'sqs:GetQueueAttributes "SyncTriggerQueue"',
  ];
  const TAKES = ['ChangeMessageVisibility', 'DeleteMessage', 'ReceiveMessage'];
  const without = (all: string[]) => all.filter((right) => !/^(rds-db:connect|secretsmanager:)/.test(right));

  test('is to ask how it goes, unless more is allowed: it takes no message and starts nothing', () => {
    const [readOnly, reveals] = [
      synthesized(
        () => ({}),
        () => ({ commandTask: { image } }),
      ),
      synthesized(
        () => ({ allow: [ConsoleRight.REVEAL] }),
        () => ({ commandTask: { image } }),
      ),
    ];
    for (const questions of [readOnly, reveals]) {
      assert.deepEqual(without(rights(questions, ROLE)), READS);
      assert.equal(variables(questions).USER_SYNC_TASK_DEFINITION, undefined);
    }
    assert.equal(variables(readOnly).USER_SYNC_CONSOLE_ALLOW, undefined);
    assert.equal(variables(reveals).USER_SYNC_CONSOLE_ALLOW, 'reveal');
  });

  test('is to deal with dead letters and to start commands, where somebody may act', () => {
    const questions = acting(() => ({ contextQueue: true }));
    const each = (action: string, queue: string) => `sqs:${action} "Sync${queue}"`;
    const queues = ['Trigger', 'Contexts'].flatMap((concept) => [
      ...TAKES.map((action) => each(action, `${concept}DeadLetterQueue`)),
      each('SendMessage', `${concept}Queue`),
    ]);
    const contexts = [
      'sqs:GetQueueAttributes "SyncContextsDeadLetterQueue"',
      'sqs:GetQueueAttributes "SyncContextsQueue"',
    ];
    assert.deepEqual(
      without(rights(questions, ROLE)),
      [
        ...READS,
        ...contexts,
        ...queues,
        'ecs:DescribeTasks "*" if',
        'ecs:RunTask "SyncCommandTaskTaskDefinition" if',
        'ecs:StopTask "*" if',
        'iam:PassRole "SyncCommandTaskTaskDefinitionExecutionRole" if',
        'iam:PassRole "SyncCommandTaskTaskDefinitionTaskRole" if',
      ].sort(),
    );
    assert.equal(variables(questions).USER_SYNC_CONSOLE_ALLOW, 'reveal,act');
  });

  test('tasks are those of the one cluster, and roles are passed to tasks only', () => {
    const questions = acting();
    const [cluster] = questions.ids('AWS::ECS::Cluster', 'SyncCommandTask');
    for (const { Action, Condition } of questions.statements(ROLE)) {
      const actions = [Action].flat();
      if (actions.some((action) => action.startsWith('ecs:')))
        assert.deepEqual(Condition, { ArnEquals: { 'ecs:cluster': { 'Fn::GetAtt': [cluster, 'Arn'] } } });
      if (actions.includes('iam:PassRole'))
        assert.deepEqual(Condition, { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } });
    }
  });

  test('is to use the key of the queues, where they have one and messages are taken or sent', () => {
    const encryptionKey = (stack: Stack) => ({
      encryptionKey: new kms.Key(stack, 'Key', { enableKeyRotation: true }),
    });
    const uses = (questions: Questions) =>
      rights(questions, ROLE).filter((right) => right.startsWith('kms:'));
    assert.deepEqual(uses(synthesized(() => ({}), encryptionKey)), []);
    assert.deepEqual(uses(acting(encryptionKey)), ['kms:Decrypt "Key"', 'kms:GenerateDataKey "Key"']);
    assert.deepEqual(
      uses(
        synthesized(
          () => ({}),
          (stack) => ({ ...encryptionKey(stack), auth: DatabaseAuth.secret() }),
        ),
      ),
      ['kms:Decrypt "Key" if'],
    );
  });

  test('a command runs where an operator would run it', () => {
    const questions = acting();
    const told = variables(questions);
    const [task] = questions.ids('AWS::ECS::TaskDefinition', 'SyncCommandTask');
    const [cluster] = questions.ids('AWS::ECS::Cluster', 'SyncCommandTask');
    const [group] = questions.ids('AWS::EC2::SecurityGroup', 'SyncNetworkSecurityGroup');
    assert.deepEqual(told.USER_SYNC_TASK_DEFINITION, { Ref: task });
    assert.deepEqual(told.USER_SYNC_TASK_CLUSTER, { 'Fn::GetAtt': [cluster, 'Arn'] });
    assert.equal(told.USER_SYNC_TASK_SUBNETS, 'subnet-0123456789abcdef0,subnet-0123456789abcdef1');
    assert.deepEqual(told.USER_SYNC_TASK_SECURITY_GROUPS, { 'Fn::GetAtt': [group, 'GroupId'] });
    assert.equal(told.USER_SYNC_TASK_PUBLIC_IP, undefined);
  });

  test('a command runs in public subnets where those of the sync are, and the console in its own', () => {
    const { PRIVATE_WITH_EGRESS, PUBLIC } = ec2.SubnetType;
    const questions = acting(
      (stack) => ({
        vpc: new ec2.Vpc(stack, 'Vpc'),
        vpcSubnets: { subnetType: PUBLIC },
        endpoints: { sqs: true, secretsManager: true },
        commandTask: { image, assignPublicIp: true },
      }),
      { vpcSubnets: { subnetType: PRIVATE_WITH_EGRESS } },
    );
    assert.equal(variables(questions).USER_SYNC_TASK_PUBLIC_IP, 'true');
    assert.match(JSON.stringify(variables(questions).USER_SYNC_TASK_SUBNETS), /VpcPublicSubnet/);
  });

  test('it sees the queues of the deployment, and the figures of its functions', () => {
    const questions = acting(() => ({ contextQueue: true, triggers: PoolTriggers.attach({ keep: true }) }));
    const told = variables(questions);
    const consumer = questions.environment('Consumer');
    for (const name of ['QUEUE_URL', 'DLQ_URL', 'CONTEXT_QUEUE_URL', 'CONTEXT_DLQ_URL', 'USER_POOL_ID'])
      assert.deepEqual(told[`USER_SYNC_${name}`], consumer[`USER_SYNC_${name}`], name);
    const named = (name: string) => ({
      Ref: questions.ids('AWS::Lambda::Function', `Sync${name}Function`)[0],
    });
    assert.deepEqual(told.USER_SYNC_CONSUMER_SERVICE, named('Consumer'));
    assert.deepEqual(told.USER_SYNC_TRIGGER_SERVICES, named('Trigger'));
    assert.deepEqual(told.USER_SYNC_LIFECYCLE_SERVICES, {
      'Fn::Join': ['', [named('Lifecycle'), ',', named('TriggerKeeper')]],
    });
    const worker = synthesized(
      () => ({}),
      () => ({ compute: UserSyncCompute.fargate({ image }) }),
    );
    const [{ Environment }] = worker.properties(
      'AWS::ECS::TaskDefinition',
      'SyncConsumerTask',
    ).ContainerDefinitions;
    const service = Environment.find(({ Name }: any) => Name === 'USER_SYNC_EMF_SERVICE').Value;
    assert.equal(variables(worker).USER_SYNC_CONSUMER_SERVICE, service);
  });

  test('it is told nothing that docs/configuration.md does not have', () => {
    const page = fs.readFileSync(path.join(INFRA, '..', 'docs', 'configuration.md'), 'utf8');
    const replica = { host: 'replica.example.com', resourceId: 'db-DEF' };
    const questions = acting(() => ({ contextQueue: true, schema: 'pages' }), { replica, nameClaim: 'upn' });
    const told = Object.keys(variables(questions));
    assert.ok(told.length > 20);
    for (const name of told) assert.ok(page.includes(`\`${name}\``), name);
  });

  test('roles are told as they are given, each value once', () => {
    const roles = { claim: 'teams', read: ['support', 'sales'], act: ['operators', 'operators'] };
    const told = variables(synthesized(() => ({ roles, nameClaim: 'upn' })));
    assert.equal(told.USER_SYNC_CONSOLE_OIDC_NAME, 'upn');
    assert.equal(variables(synthesized()).USER_SYNC_CONSOLE_OIDC_NAME, undefined);
    assert.equal(told.USER_SYNC_CONSOLE_OIDC_CLAIM, 'teams');
    assert.equal(told.USER_SYNC_CONSOLE_OIDC_READ, 'support,sales');
    assert.equal(told.USER_SYNC_CONSOLE_OIDC_REVEAL, undefined);
    assert.equal(told.USER_SYNC_CONSOLE_OIDC_ACT, 'operators');
  });
});

describe('its login', () => {
  const migrator = (questions: Questions) => questions.environment('Schema');
  const asked = (questions: Questions) => questions.properties('Custom::UserSyncSchema', 'SyncSchema');

  test('is its own, by IAM, and the migrator makes it', () => {
    const questions = synthesized();
    const [connect] = questions.statements(ROLE).filter(({ Action }) => Action === 'rds-db:connect');
    assert.match(JSON.stringify(connect!.Resource), /:dbuser:db-ABC\/user_sync_console_login"/);
    assert.match(variables(questions).DATABASE_URL, /^postgres:\/\/user_sync_console_login@/);
    assert.equal(variables(questions).USER_SYNC_DATABASE_AUTH, 'iam');
    assert.equal(migrator(questions).USER_SYNC_CONSOLE_LOGIN, 'user_sync_console_login');
    assert.equal(asked(questions).ConsoleUser, 'user_sync_console_login');
    assert.equal(asked(questions).ConsoleSecretArn, undefined);
    const named = synthesized(
      () => ({}),
      () => ({ auth: DatabaseAuth.iam({ consoleUser: 'pages' }), rolePrefix: 'shop' }),
    );
    assert.equal(asked(named).ConsoleUser, 'pages');
  });

  test('is its own, by a secret that nobody else may read but the migrator, and that rotates', () => {
    const questions = synthesized(
      () => ({}),
      () => ({ auth: DatabaseAuth.secret({ rotateAfter: Duration.days(30) }) }),
    );
    const [secret] = questions.ids('AWS::SecretsManager::Secret', 'SyncLoginsConsoleSecret');
    const readers = Object.entries(questions.resources).filter(
      ([, { Type, Properties }]) =>
        Type === 'AWS::IAM::Policy' && JSON.stringify(Properties).includes(secret!),
    );
    assert.deepEqual(readers.map(([id]) => id.replace(/[0-9A-F]{8}$/, '')).sort(), [
      'SyncConsoleTaskTaskRoleDefaultPolicy',
      'SyncSchemaFunctionRoleDefaultPolicy',
    ]);
    assert.deepEqual(variables(questions).USER_SYNC_DATABASE_SECRET_ARN, { Ref: secret });
    assert.deepEqual(migrator(questions).USER_SYNC_CONSOLE_SECRET_ARN, { Ref: secret });
    assert.deepEqual(asked(questions).ConsoleSecretArn, { Ref: secret });
    assert.equal(asked(questions).ConsoleUser, migrator(questions).USER_SYNC_CONSOLE_LOGIN);
    assert.equal(questions.ids('AWS::SecretsManager::RotationSchedule').length, 3);
    assert.ok(questions.made.consoleSecret);
  });

  test('is a given one, also at a proxy, which must know it', () => {
    const changes = (knows: boolean) => (stack: Stack) => {
      const vpc = new ec2.Vpc(stack, 'Vpc');
      const engine = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16_13 });
      const instance = new rds.DatabaseInstance(stack, 'Database', { engine, vpc });
      const [consumer, reader, console] = ['consumer', 'reader', 'console'].map((name) =>
        secretsmanager.Secret.fromSecretNameV2(stack, name, name),
      );
      const secrets = [consumer!, reader!, ...(knows ? [console!] : [])];
      const proxy = instance.addProxy('Proxy', { vpc, secrets });
      const behind = UserSyncDatabase.fromInstance(instance);
      return {
        vpc,
        database: UserSyncDatabase.fromProxy(proxy, { behind }),
        auth: DatabaseAuth.secret({ consumer, reader, console }),
      };
    };
    const questions = synthesized(() => ({}), changes(true));
    assert.match(JSON.stringify(variables(questions).USER_SYNC_DATABASE_SECRET_ARN), /:secret:console"/);
    assert.equal(variables(questions).USER_SYNC_PREPARED_STATEMENTS, 'unnamed');
    assert.deepEqual(questions.ids('AWS::SecretsManager::Secret', 'SyncLogins'), []);
    assert.throws(() => synthesized(() => ({}), changes(false)), /whose secrets are not those of the logins/);
  });

  test('secrets that are all given are rotated by whoever gave them', () => {
    const given = (stack: Stack, ...names: string[]) =>
      Object.fromEntries(
        names.map((name) => [name, secretsmanager.Secret.fromSecretNameV2(stack, name, name)]),
      );
    const rotateAfter = Duration.days(30);
    assert.throws(
      () =>
        synthesized(
          () => ({}),
          (stack) => ({
            auth: DatabaseAuth.secret({ ...given(stack, 'consumer', 'reader', 'console'), rotateAfter }),
          }),
        ),
      /rotateAfter is .*: it must be left out when all secrets are given/,
    );
    const questions = synthesized(
      () => ({}),
      (stack) => ({
        auth: DatabaseAuth.secret({ ...given(stack, 'consumer', 'reader'), rotateAfter }),
      }),
    );
    assert.equal(questions.ids('AWS::SecretsManager::RotationSchedule').length, 1);
  });

  test('reads at a replica, and writes at the database', () => {
    const replica = {
      host: 'replica.example.com',
      port: 5_433,
      resourceId: 'db-DEF',
      securityGroup: undefined as ec2.ISecurityGroup | undefined,
    };
    const questions = synthesized((stack) => ({
      replica: {
        ...replica,
        securityGroup: ec2.SecurityGroup.fromSecurityGroupId(stack, 'Replica', 'sg-0123456789abcdef3'),
      },
    }));
    const told = variables(questions);
    assert.match(told.DATABASE_URL, /@db\.Made\./);
    assert.match(
      told.USER_SYNC_REPLICA_URL,
      /^postgres:\/\/user_sync_console_login@replica\.example\.com:5433\/app\?/,
    );
    const users = questions.statements(ROLE).filter(({ Action }) => Action === 'rds-db:connect');
    assert.match(JSON.stringify(users), /db-ABC\/user_sync_console_login.*db-DEF\/user_sync_console_login/);
    assert.ok(lets(questions, 'Egress', 'SyncConsoleSecurityGroup').includes('5433 sg-0123456789abcdef3'));
    assert.equal(variables(synthesized()).USER_SYNC_REPLICA_URL, undefined);
  });

  test('is there before its task runs, and so is the way to the database', () => {
    const questions = synthesized();
    const [service] = questions.ids('AWS::ECS::Service', 'SyncConsole');
    const waits = questions.waitsFor(service!);
    const migration = questions.ids('Custom::UserSyncSchema')[0]!;
    assert.ok(questions.resources[service!]!.DependsOn!.includes(migration));
    const ways = [
      ...questions.ids('AWS::EC2::SecurityGroupEgress', 'SyncConsoleSecurityGroup'),
      ...questions.ids('AWS::EC2::SecurityGroupIngress', 'DatabaseGroup').filter((id) => /Console/.test(id)),
    ];
    assert.equal(ways.length, 2);
    for (const way of ways) assert.ok(waits.has(way), way);
  });
});

describe('the days of its analytics', () => {
  const questions = synthesized();

  test('are counted every hour, as the consumer’s login, by a function that may do nothing else', () => {
    assert.equal(questions.environment('ConsoleDaily').USER_SYNC_OPERATION, 'daily');
    assert.match(questions.environment('ConsoleDaily').DATABASE_URL, /\/\/user_sync_consumer_login@/);
    const { ScheduleExpression, Targets } = questions.properties('AWS::Events::Rule', 'SyncConsoleDaily');
    const [daily] = questions.ids('AWS::Lambda::Function', 'SyncConsoleDailyFunction');
    assert.equal(ScheduleExpression, 'rate(1 hour)');
    assert.deepEqual(Targets[0].Arn, { 'Fn::GetAtt': [daily, 'Arn'] });
    const allowed = questions
      .allowed('SyncConsoleDailyFunctionRole')
      .filter((action) => !/^(ec2|logs):/.test(action));
    assert.deepEqual(allowed, ['rds-db:connect']);
    const { MaximumRetryAttempts } = questions.properties(
      'AWS::Lambda::EventInvokeConfig',
      'SyncConsoleDaily',
    );
    assert.equal(MaximumRetryAttempts, 0);
  });

  test('are counted in tables that are there', () => {
    const [daily] = questions.ids('AWS::Lambda::Function', 'SyncConsoleDailyFunction');
    assert.ok(questions.waitsFor(daily!).has(questions.ids('Custom::UserSyncSchema')[0]!));
  });
});

describe('the task', () => {
  test('is one, of the architecture of the others, and writes nowhere but to its log', () => {
    const questions = synthesized(
      () => ({ cpu: 512, memoryLimitMiB: 1_024 }),
      () => ({
        logRetention: logs.RetentionDays.ONE_WEEK,
      }),
    );
    const { Cpu, Memory, RuntimePlatform } = questions.properties(
      'AWS::ECS::TaskDefinition',
      'SyncConsoleTask',
    );
    assert.deepEqual([Cpu, Memory, RuntimePlatform.CpuArchitecture], ['512', '1024', 'X86_64']);
    assert.equal(container(questions).ReadonlyRootFilesystem, true);
    assert.deepEqual(container(questions).Command, ['console']);
    assert.equal(questions.properties('AWS::ECS::Service', 'SyncConsole').DesiredCount, 1);
    assert.equal(questions.properties('AWS::Logs::LogGroup', 'SyncConsoleLog').RetentionInDays, 7);
  });

  test('runs in the cluster of the other tasks, where there is one, of their image', () => {
    const clusters = (made: Questions) =>
      made.ids('AWS::ECS::Cluster').map((id) => id.replace(/[0-9A-F]{8}$/, ''));
    assert.deepEqual(clusters(synthesized()), ['SyncConsoleCluster']);
    assert.deepEqual(clusters(acting()), ['SyncCommandTaskCluster']);
    const worker = synthesized(
      () => ({ image: undefined }),
      () => ({ compute: UserSyncCompute.fargate({ image }) }),
    );
    assert.deepEqual(clusters(worker), ['SyncConsumerCluster']);
    assert.equal(container(worker).Image, 'example/user-sync');
    const given = synthesized((stack) => {
      const vpc = new ec2.Vpc(stack, 'Other');
      return { cluster: new ecs.Cluster(stack, 'Given', { vpc }) };
    });
    assert.deepEqual(given.ids('AWS::ECS::Cluster'), []);
  });

  test('is called by its stack, or as is said, and its outputs say where it is', () => {
    const { template, made } = synthesized();
    const [url, target] = ['ConsoleUrl', 'ConsoleLoadBalancer'].map(
      (name) =>
        Object.entries<any>(template.toJSON().Outputs).find(([id]) => id.includes(`Console${name}`))![1]
          .Value,
    );
    assert.equal(url, 'https://console.example.com');
    assert.match(JSON.stringify(target), /"DNSName"/);
    assert.ok(made.consoleService && made.consoleLoadBalancer && made.dailyFunction);
    assert.deepEqual(variables(synthesized()).USER_SYNC_CONSOLE_ENVIRONMENT['Fn::Join'][1], [
      'Made · ',
      { Ref: 'AWS::Region' },
    ]);
    assert.equal(
      variables(synthesized(() => ({ environment: 'production' }))).USER_SYNC_CONSOLE_ENVIRONMENT,
      'production',
    );
  });
});

describe('what could not work is refused', () => {
  const subnets = (vpcSubnets: ec2.SubnetSelection) => ({ vpcSubnets });
  const { PRIVATE_ISOLATED, PRIVATE_WITH_EGRESS, PUBLIC } = ec2.SubnetType;

  test('in subnets without a NAT gateway, since no endpoint leads to the load balancer’s keys', () => {
    assert.throws(
      () =>
        synthesized(
          () => ({}),
          (stack) => ({ vpc: isolated(stack) }),
        ),
      /vpcSubnets is "isolated: Made\/Vpc\/IsolatedSubnet1, .*": it must be private subnets with a NAT gateway, for the console: no VPC endpoint leads to the host of the load balancer's keys, .*or leave console out/,
    );
    const three = (stack: Stack) =>
      new ec2.Vpc(stack, 'Vpc', {
        natGateways: 1,
        subnetConfiguration: [
          { name: 'Public', subnetType: PUBLIC },
          { name: 'Private', subnetType: PRIVATE_WITH_EGRESS },
          { name: 'Isolated', subnetType: PRIVATE_ISOLATED },
        ],
      });
    for (const [subnetType, said] of [
      [PRIVATE_ISOLATED, 'isolated'],
      [PUBLIC, 'public'],
    ] as const)
      assert.throws(
        () =>
          synthesized(
            () => subnets({ subnetType }),
            (stack) => ({ vpc: three(stack) }),
          ),
        new RegExp(`console.vpcSubnets is "${said}: `),
      );
    // Functions may be closed in where the console is not.
    const vpcSubnets = { subnetType: PRIVATE_ISOLATED };
    const questions = synthesized(
      () => subnets({ subnetType: PRIVATE_WITH_EGRESS }),
      (stack) => ({ vpc: three(stack), vpcSubnets }),
    );
    const { Subnets } = questions.properties('AWS::ElasticLoadBalancingV2::LoadBalancer', 'SyncConsole');
    const { AwsvpcConfiguration } = questions.properties(
      'AWS::ECS::Service',
      'SyncConsole',
    ).NetworkConfiguration;
    assert.match(JSON.stringify(Subnets), /VpcPrivateSubnet/);
    assert.deepEqual(AwsvpcConfiguration.Subnets, Subnets);
    assert.match(JSON.stringify(questions.function('ConsoleDaily').VpcConfig.SubnetIds), /VpcIsolatedSubnet/);
  });

  test('in one zone', () => {
    const vpc = (stack: Stack) =>
      ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
        vpcId: 'vpc-0123456789abcdef0',
        availabilityZones: ['eu-west-1a'],
        privateSubnetIds: ['subnet-0123456789abcdef0'],
      });
    assert.throws(
      () =>
        synthesized(
          () => ({}),
          (stack) => ({ vpc: vpc(stack) }),
        ),
      /vpcSubnets is "in eu-west-1a": it must be in two zones at least/,
    );
  });

  test('to act without a place for what is started', () => {
    assert.throws(
      () => synthesized(() => ACTS),
      /console\.allow is \["reveal","act"\]: it must be without ConsoleRight\.ACT, or commandTask: \{\} given/,
    );
  });

  test('a replica that nobody could log in to', () => {
    const replica = { host: 'replica.example.com' };
    assert.throws(
      () => synthesized(() => ({ replica })),
      /console\.replica is "replica\.example\.com": it must be given with its resourceId/,
    );
    synthesized(
      () => ({ replica }),
      () => ({ auth: DatabaseAuth.secret() }),
    );
  });

  test('what would let nobody in', () => {
    const cases: [Options, RegExp][] = [
      [{ peers: [] }, /console\.peers is \[\]: it must be one peer at least/],
      [{ roles: {} }, /console\.roles is \{\}: it must be given with the values that may read/],
      [
        { roles: { read: ['a,b'] } },
        /console\.roles is "a,b": it must be of values without commas and blanks/,
      ],
      [{ roles: { read: ['two words'] } }, /console\.roles is "two words"/],
      [{ roles: { read: [''] } }, /console\.roles is ""/],
      [
        { roles: { claim: 'cognito:groups', read: ['staff'] } },
        /console\.roles\.claim is "cognito:groups": it must be a claim of the provider's user info/,
      ],
      [{ hostName: 'https://console.example.com' }, /console\.hostName is "https:\/\/console\.example\.com"/],
      [{ hostName: 'Console.example.com' }, /console\.hostName is "Console\.example\.com"/],
      [{ hostName: 'console' }, /console\.hostName is "console": it must be a host's name alone/],
      [
        { sessionTimeout: Duration.days(8) },
        /console\.sessionTimeout is "691200 s": it must be whole seconds from 1 to 604800/,
      ],
      [{ cpu: 300 }, /console\.cpu is 300: it must be one of 256/],
    ];
    for (const [options, said] of cases) assert.throws(() => synthesized(() => options), said);
  });

  describe('a client of the user pool', () => {
    const refused = (changes: Partial<cognito.UserPoolClientOptions>, said: RegExp) =>
      assert.throws(() => synthesized((stack) => ({ signIn: staff(stack, changes) })), said);
    const email = new cognito.ClientAttributes().withStandardAttributes({ email: true });

    test('that no load balancer can use', () => {
      refused(
        { generateSecret: false },
        /console\.signIn is "the client Made\/Staff\/Console": .* generateSecret: true/,
      );
      refused(
        { oAuth: { callbackUrls: ['https://other.example.com/oauth2/idpresponse'] } },
        /must be one with https:\/\/console\.example\.com\/oauth2\/idpresponse in oAuth\.callbackUrls/,
      );
    });

    test('that does not read what gives rights', () => {
      refused(
        { readAttributes: email },
        /must be one with custom:console in readAttributes: nobody would have a role/,
      );
    });

    test('by which people could give themselves a role', () => {
      const writes =
        /console\.roles\.claim is "custom:console": it must be an attribute that no app client may write, and Made\/Staff\/Console may/;
      refused({ writeAttributes: email.withCustomAttributes('console') }, writes);
      refused({ writeAttributes: undefined }, writes);
    });

    test('also one that was made after the console, as of an app', () => {
      const stack = new Stack(new App(), 'Made');
      const signIn = staff(stack);
      sync(stack, code, { console: consoleOf(stack, { signIn }) });
      const pool = stack.node.findChild('Staff') as cognito.UserPool;
      pool.addClient('Phone', { writeAttributes: email.withCustomAttributes('console') });
      assert.throws(() => Template.fromStack(stack), /no app client may write, and Made\/Staff\/Phone may/);
    });

    test('but not one of another pool', () => {
      const stack = new Stack(new App(), 'Made');
      const signIn = staff(stack);
      sync(stack, code, { console: consoleOf(stack, { signIn }) });
      new cognito.UserPool(stack, 'Customers').addClient('Phone');
      Template.fromStack(stack);
    });
  });
});

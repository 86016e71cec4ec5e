/** The one-off task: what its outputs say is typed into a shell, and what the task may do. */
import * as assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import { CognitoUserSyncProps, CommandTaskOptions, PoolTriggers, UserSyncCompute } from '../lib';
import { dist } from './support';
import { Questions } from './template';
import { sync } from './variants';

const code = dist();

type Changes = Partial<CognitoUserSyncProps>;

/** Without Docker. */
const image = ecs.ContainerImage.fromRegistry('example/user-sync');

function synthesized(changes: (stack: Stack) => Changes, options: CommandTaskOptions = {}) {
  const stack = new Stack(new App(), 'Made');
  sync(stack, code, { commandTask: { image, ...options }, ...changes(stack) });
  return Object.assign(new Questions(Template.fromStack(stack)), { stack });
}

const isolated = (stack: Stack) =>
  new ec2.Vpc(stack, 'Vpc', {
    natGateways: 0,
    subnetConfiguration: [{ name: 'Isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED }],
  });

/** What CloudFormation makes of a value: of a reference its name, in words that a shell takes as they are. */
function deployed(value: any): string {
  if (typeof value === 'string') return value;
  if (value.Ref) return value.Ref.replace(/^AWS::/, '');
  if (value['Fn::GetAtt']) return value['Fn::GetAtt'].join('.');
  const [separator, parts] = value['Fn::Join'];
  return parts.map(deployed).join(separator);
}

/** The outputs by the end of their names, as they are printed. */
function commands({ template }: Questions): Record<string, string> {
  const outputs = Object.entries(template.toJSON().Outputs ?? {});
  const ours = outputs.flatMap(([id, { Value }]: [string, any]) => {
    const [, name] = /^Sync\w*Command(Doctor|Verify|Reconcile|Dlq|Log)[0-9A-F]{8}$/.exec(id) ?? [];
    return name ? [[name, deployed(Value)]] : [];
  });
  return Object.fromEntries(ours);
}

/** The arguments that the AWS CLI gets when the line is pasted into a shell. */
function typed(line: string): string[] {
  const script = `aws() { printf '%s\\0' "$@"; }\n${line}`;
  const printed = execFileSync('bash', ['-c', script], { encoding: 'utf8' });
  return printed.split('\0').slice(0, -1);
}

/** The value after a flag. */
const flag = (args: string[], name: string) => args[args.indexOf(`--${name}`) + 1]!;

const container = (questions: Questions) =>
  questions.properties('AWS::ECS::TaskDefinition', 'SyncCommandTask').ContainerDefinitions[0];

const variables = (questions: Questions): Record<string, unknown> =>
  Object.fromEntries(
    container(questions).Environment.map(({ Name, Value }: { Name: string; Value: unknown }) => [
      Name,
      Value,
    ]),
  );

const ROLE = 'SyncCommandTaskTaskDefinitionTaskRole';

test('there is none unless it is asked for', () => {
  const stack = new Stack(new App(), 'Made');
  sync(stack, code);
  const questions = new Questions(Template.fromStack(stack));
  assert.deepEqual(questions.ids('AWS::ECS::TaskDefinition'), []);
  assert.deepEqual(commands(questions), {});
});

describe('in subnets with a way out', () => {
  const questions = synthesized(() => ({}));

  test('the outputs are lines that a shell takes, of the task that was made', () => {
    const lines = commands(questions);
    assert.deepEqual(Object.keys(lines).sort(), ['Dlq', 'Doctor', 'Log', 'Reconcile', 'Verify']);
    const expected = {
      Doctor: ['doctor'],
      Verify: ['verify'],
      Reconcile: ['reconcile', '--repair'],
      Dlq: ['dlq', 'list'],
    };
    const [task] = questions.ids('AWS::ECS::TaskDefinition');
    const [cluster] = questions.ids('AWS::ECS::Cluster');
    const [group] = questions.ids('AWS::EC2::SecurityGroup');
    for (const [name, command] of Object.entries(expected)) {
      const args = typed(lines[name]!);
      assert.deepEqual(args.slice(0, 2), ['ecs', 'run-task'], name);
      assert.equal(flag(args, 'region'), 'Region');
      assert.equal(flag(args, 'launch-type'), 'FARGATE');
      assert.equal(flag(args, 'cluster'), `${cluster}.Arn`);
      assert.equal(flag(args, 'task-definition'), task);
      assert.equal(
        flag(args, 'network-configuration'),
        'awsvpcConfiguration={subnets=[subnet-0123456789abcdef0,subnet-0123456789abcdef1],' +
          `securityGroups=[${group}.GroupId],assignPublicIp=DISABLED}`,
      );
      const { containerOverrides } = JSON.parse(flag(args, 'overrides'));
      // An override of a container that is not there is an error of ECS.
      assert.deepEqual(containerOverrides, [{ name: container(questions).Name, command }], name);
      assert.equal(args.length, 14, name);
    }
    const [log] = questions.ids('AWS::Logs::LogGroup', 'SyncCommandTask');
    assert.deepEqual(typed(lines.Log!).slice(0, 3), ['logs', 'tail', log]);
  });

  test('the task may do what the commands name, and no more', () => {
    const allowed = questions.allowed(ROLE).filter((action) => !/^logs:/.test(action));
    assert.deepEqual(allowed, [
      'cognito-idp:DescribeUserPool',
      'cognito-idp:ListGroups',
      'cognito-idp:ListUserPoolReplicas',
      'cognito-idp:ListUsers',
      'cognito-idp:ListUsersInGroup',
      'rds-db:connect',
      'sqs:CancelMessageMoveTask',
      'sqs:ChangeMessageVisibility',
      'sqs:DeleteMessage',
      'sqs:GetQueueAttributes',
      'sqs:ListMessageMoveTasks',
      'sqs:ReceiveMessage',
      'sqs:SendMessage',
      'sqs:StartMessageMoveTask',
    ]);
    const takes = questions.statements(ROLE).filter(({ Action }) => Action.includes('sqs:ReceiveMessage'));
    assert.match(JSON.stringify(takes), /DeadLetterQueue/);
    assert.ok(!/"SyncTriggerQueue/.test(JSON.stringify(takes)), 'messages are the consumer’s');
  });

  test('the task sees what the consumer sees, as the same login, from the same network', () => {
    const consumer = questions.environment('Consumer');
    for (const [name, value] of Object.entries(consumer)) assert.deepEqual(variables(questions)[name], value);
    assert.equal(variables(questions).USER_SYNC_ASK_COGNITO, undefined);
    const connect = questions.statements(ROLE).find(({ Action }) => Action === 'rds-db:connect')!;
    assert.match(JSON.stringify(connect.Resource), /user_sync_consumer_login/);
  });

  test('a run of reconcile has a place to note how far it came', () => {
    assert.equal(variables(questions).XDG_STATE_HOME, '/tmp');
    assert.equal(container(questions).ReadonlyRootFilesystem, false);
  });

  test('the triggers’ parameter is read where the triggers are kept', () => {
    const kept = synthesized(() => ({ triggers: PoolTriggers.attach({ keep: true }) }));
    const parameter = { Ref: kept.ids('AWS::SSM::Parameter')[0] };
    assert.deepEqual(variables(kept).USER_SYNC_TRIGGERS_PARAMETER, parameter);
    assert.ok(kept.allowed(ROLE).includes('ssm:GetParameter'));
  });
});

describe('in closed subnets', () => {
  const all = { sqs: true, secretsManager: true, ecr: true, logs: true, s3: true };
  const questions = synthesized((stack) => ({ vpc: isolated(stack), endpoints: all }));

  test('Cognito is not asked, and reconcile is not offered', () => {
    assert.deepEqual(Object.keys(commands(questions)).sort(), ['Dlq', 'Doctor', 'Log', 'Verify']);
    assert.equal(variables(questions).USER_SYNC_ASK_COGNITO, 'false');
    const asks = questions.allowed(ROLE).filter((action) => /^(cognito-idp|ssm):/.test(action));
    assert.deepEqual(asks, []);
    assert.equal(container(questions).ReadonlyRootFilesystem, true);
  });

  test('synthesis says why, and what to do', () => {
    const [info] = Annotations.fromStack(questions.stack).findInfo(
      '*',
      Match.stringLikeRegexp('commandTask has no output CommandReconcile'),
    );
    const text = String(info!.entry.data);
    assert.match(text, /USER_SYNC_ASK_COGNITO=false/);
    assert.match(text, /vpcSubnets have no way out/);
    assert.match(text, /NAT gateway, or public ones with commandTask: \{ assignPublicIp: true \}/);
    assert.match(text, /user-sync reconcile --publish-all/);
    const none = Annotations.fromStack(synthesized(() => ({})).stack).findInfo('*', Match.anyValue());
    assert.deepEqual(none, []);
  });

  test('each endpoint that its image and its log need is warned of', () => {
    const { stack } = synthesized((to) => ({ vpc: isolated(to) }));
    const warned = Annotations.fromStack(stack)
      .findWarning('*', Match.stringLikeRegexp('endpoints has no'))
      .map(({ entry }) => /endpoints has no (\w+),/.exec(String(entry.data))![1])
      .sort();
    assert.deepEqual(warned, ['ecr', 'logs', 's3', 'secretsManager', 'sqs']);
  });
});

describe('in public subnets', () => {
  const ofDefault = (stack: Stack) => ({
    vpc: ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['eu-west-1a'],
      publicSubnetIds: ['subnet-0123456789abcdef0'],
      vpcCidrBlock: '172.31.0.0/16',
    }),
    endpoints: { sqs: true, secretsManager: true, onImportedVpc: true },
  });

  test('it needs an address', () => {
    assert.throws(
      () => synthesized(ofDefault),
      /commandTask\.assignPublicIp is false: it must be true in public subnets \(Made\/Vpc\/PublicSubnet1\)/,
    );
  });

  test('with an address it asks Cognito', () => {
    const questions = synthesized(ofDefault, { assignPublicIp: true });
    const { Reconcile } = commands(questions);
    assert.match(flag(typed(Reconcile!), 'network-configuration'), /assignPublicIp=ENABLED\}$/);
  });
});

describe('the task', () => {
  test('hears each of its props', () => {
    const questions = synthesized((stack) => {
      const vpc = new ec2.Vpc(stack, 'Vpc');
      const cluster = new ecs.Cluster(stack, 'Mine', { vpc });
      return { vpc, commandTask: { image, cluster, cpu: 512, memoryLimitMiB: 2_048 } };
    });
    const { Cpu, Memory } = questions.properties('AWS::ECS::TaskDefinition', 'SyncCommandTask');
    assert.deepEqual([Cpu, Memory], ['512', '2048']);
    assert.equal(container(questions).Image, 'example/user-sync');
    assert.deepEqual(questions.ids('AWS::ECS::Cluster'), []);
    assert.equal(
      flag(typed(commands(questions).Doctor!), 'cluster'),
      `${questions.ids('AWS::ECS::Cluster', 'Mine')[0]}.Arn`,
    );
  });

  test('runs in the cluster of the worker, where there is one', () => {
    const questions = synthesized(() => ({ compute: UserSyncCompute.fargate({ image }) }));
    assert.equal(questions.ids('AWS::ECS::Cluster').length, 1);
    const log = (prefix: string) => questions.ids('AWS::Logs::LogGroup', prefix).length;
    assert.deepEqual([log('SyncConsumer'), log('SyncCommandTask')], [1, 1]);
  });

  test('is of the image of the worker, where one is given', () => {
    const compute = UserSyncCompute.fargate({ image });
    const questions = synthesized(() => ({ compute, commandTask: {} }));
    assert.equal(container(questions).Image, 'example/user-sync');
  });

  test('has a size that Fargate offers', () => {
    assert.throws(
      () => synthesized(() => ({}), { cpu: 1_024 }),
      /commandTask\.memoryLimitMiB is 512: it must be from 2048 to 8192, in steps of 1024, since commandTask\.cpu is 1024/,
    );
  });

  test('is run, and its log is read, by whom `grantOperate` permits it', () => {
    const stack = new Stack(new App(), 'Made');
    const made = sync(stack, code, { commandTask: { image } });
    const person = new iam.Role(stack, 'Person', { assumedBy: new iam.AccountRootPrincipal() });
    made.grantOperate(person);
    const questions = new Questions(Template.fromStack(stack));
    const statement = (action: string) =>
      questions.statements('Person').filter(({ Action }) => Action === action || Action.includes(action));
    const [task] = questions.ids('AWS::ECS::TaskDefinition');
    assert.deepEqual(
      statement('ecs:RunTask').map(({ Resource }) => Resource),
      [{ Ref: task }],
    );
    const passed = statement('iam:PassRole').flatMap(({ Resource }) => Resource);
    const roles = questions
      .ids('AWS::IAM::Role', 'SyncCommandTask')
      .map((id) => ({ 'Fn::GetAtt': [id, 'Arn'] }));
    assert.equal(roles.length, 2);
    for (const role of roles) assert.ok(JSON.stringify(passed).includes(JSON.stringify(role)));
    const [log] = questions.ids('AWS::Logs::LogGroup', 'SyncCommandTask');
    const read = statement('logs:FilterLogEvents').flatMap(({ Resource }) => Resource);
    assert.ok(JSON.stringify(read).includes(log!));
  });

  test('prints to a log with the key, since what it prints may be of persons', () => {
    const questions = synthesized((stack) => ({
      encryptionKey: new kms.Key(stack, 'Key', { enableKeyRotation: true }),
    }));
    const { KmsKeyId } = questions.properties('AWS::Logs::LogGroup', 'SyncCommandTask');
    assert.deepEqual(KmsKeyId, { 'Fn::GetAtt': [questions.ids('AWS::KMS::Key', 'Key')[0], 'Arn'] });
  });
});

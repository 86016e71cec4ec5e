/**
 * The construct, as each case of cases.json has it, as CloudFormation's template: what the module is compared with. Writes one
 * JSON object to the file that the argument names: the templates by the names of the cases.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { App, Duration, Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  CognitoUserSync,
  CognitoUserSyncProps,
  DatabaseAuth,
  DriftCheck,
  LoginContext,
  Migrations,
  PoolTriggers,
  UserSyncCompute,
  UserSyncDatabase,
} from '../../lib';

const HOST = 'db.example.eu-west-1.rds.amazonaws.com';
const env = { account: '123456789012', region: 'eu-west-1' };

const fn = (stack: Stack, id: string) =>
  lambda.Function.fromFunctionArn(stack, id, `arn:aws:lambda:eu-west-1:123456789012:function:${id}`);
const key = (stack: Stack, id: string) =>
  kms.Key.fromKeyArn(
    stack,
    `Key${id}`,
    `arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-00000000000${id}`,
  );
const secret = (stack: Stack, name: string) =>
  secretsmanager.Secret.fromSecretCompleteArn(
    stack,
    `Secret${name}`,
    `arn:aws:secretsmanager:eu-west-1:123456789012:secret:${name}-AbCdEf`,
  );
/** What an alarm tells, by its ARN. */
const action = (alarmActionArn: string): cloudwatch.IAlarmAction => ({ bind: () => ({ alarmActionArn }) });

const CASES: Record<string, (stack: Stack) => Partial<CognitoUserSyncProps>> = {
  Plain: () => ({}),
  Secret: (stack) => ({
    auth: DatabaseAuth.secret({ consumer: secret(stack, 'consumer'), reader: secret(stack, 'reader') }),
    schema: 'eu',
    rolePrefix: 'eu_sync',
  }),
  KeepChained: (stack) => ({
    triggers: PoolTriggers.attach({
      keep: true,
      chainPostConfirmation: fn(stack, 'Welcome'),
      chainPostAuthentication: fn(stack, 'Audit'),
      smsRole: iam.Role.fromRoleArn(stack, 'Sms', 'arn:aws:iam::123456789012:role/sms', { mutable: false }),
      senderKey: key(stack, '1'),
    }),
    clientMetadataKeys: { ip: 'clientIp' },
    referralCodeAttribute: 'custom:referral_code',
    alarmActions: [action('arn:aws:sns:eu-west-1:123456789012:oncall')],
  }),
  Contexts: (stack) => ({
    loginContext: [
      LoginContext.cloudTrail(),
      LoginContext.threatProtection({
        logGroup: logs.LogGroup.fromLogGroupName(stack, 'Events', '/aws/vendedlogs/cognito/app'),
      }),
    ],
    recordRetention: Duration.days(90),
    triggers: PoolTriggers.attach({ keep: true }),
  }),
  CloudTrailWithKey: (stack) => ({
    loginContext: [LoginContext.cloudTrail({ clients: ['1example23456789'] })],
    encryptionKey: key(stack, '2'),
  }),
  ContextQueue: () => ({ contextQueue: true, driftCheck: DriftCheck.none(), lifecycle: false }),
  ByHand: () => ({
    migrations: Migrations.SKIP,
    triggers: PoolTriggers.outputOnly(),
    database: UserSyncDatabase.fromAttributes({ host: HOST, port: 6_432, resourceId: 'db-ABC' }),
  }),
  Otherwise: () => ({
    deploymentCheck: true,
    tracing: lambda.Tracing.ACTIVE,
    logLevel: lambda.ApplicationLogLevel.DEBUG,
    heartbeatInterval: Duration.minutes(10),
    driftCheck: DriftCheck.every(Duration.hours(36)),
    lifecycleConcurrency: 2,
    architecture: lambda.Architecture.ARM_64,
    compute: UserSyncCompute.lambda({
      memorySize: 1_024,
      maxConcurrency: 8,
      batchSize: 500,
      maxBatchingWindow: Duration.seconds(5),
    }),
    maxReceiveCount: 500,
    logRetention: logs.RetentionDays.ONE_MONTH,
    ledgerRetention: Duration.days(200),
    endpoints: { sqs: true, secretsManager: true, onImportedVpc: true },
  }),
};

function synthesized(name: string, code: string): unknown {
  // So that templates say of which program a function is.
  const app = new App({ context: { userSyncDeployment: 'test' } });
  const stack = new Stack(app, name, { env });
  const changes = CASES[name]!(stack);
  new CognitoUserSync(stack, 'Sync', {
    code,
    userPool: cognito.UserPool.fromUserPoolId(stack, 'Pool', 'eu-west-1_Abc123Def'),
    vpc: ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['eu-west-1a', 'eu-west-1b'],
      privateSubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
      privateSubnetRouteTableIds: ['rtb-0123456789abcdef0', 'rtb-0123456789abcdef1'],
      vpcCidrBlock: '10.0.0.0/16',
    }),
    database: UserSyncDatabase.fromAttributes({
      host: HOST,
      resourceId: 'db-ABC',
      securityGroup: ec2.SecurityGroup.fromSecurityGroupId(stack, 'DatabaseGroup', 'sg-0123456789abcdef0'),
      adminSecret: secret(stack, 'admin'),
    }),
    databaseName: 'app',
    ...changes,
  });
  const assembly = app.synth();
  const { template } = assembly.getStackByName(name);
  for (const resource of Object.values<any>(template.Resources)) {
    const hash = resource.Properties?.Code?.S3Key?.replace(/\.zip$/, '');
    const bootstrap = hash && path.join(assembly.directory, `asset.${hash}`, 'bootstrap');
    if (bootstrap && fs.existsSync(bootstrap)) resource.Program = fs.readFileSync(bootstrap, 'utf8').trim();
  }
  return template;
}

const [, , code, file] = process.argv;
const wanted = Object.keys(JSON.parse(fs.readFileSync(path.join(__dirname, 'cases.json'), 'utf8')));
if (JSON.stringify(wanted) !== JSON.stringify(Object.keys(CASES)))
  throw new Error(
    `cases.json and construct.ts have other cases: ${wanted.join(', ')}; ${Object.keys(CASES).join(', ')}`,
  );
fs.writeFileSync(
  file!,
  JSON.stringify(Object.fromEntries(wanted.map((name) => [name, synthesized(name, code!)])), null, 1),
);

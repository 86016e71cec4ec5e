/** Every way in which the construct can be had that changes what is deployed, each as a stack. */
import { App, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import {
  CognitoUserSync,
  CognitoUserSyncProps,
  ConsoleRight,
  ConsoleSignIn,
  DatabaseAuth,
  DriftCheck,
  FargateConsoleOptions,
  LoginContext,
  Migrations,
  PoolTriggers,
  UserSyncCompute,
  UserSyncConsole,
  UserSyncDatabase,
  UserSyncTrigger,
} from '../lib';

type Changes = Partial<CognitoUserSyncProps>;

/** Each stack has a pool of its own: two of one would be refused. */
const poolArn = ({ stackName }: Stack) =>
  `arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_${stackName}`;

const POSTGRES = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16_13 });
const AURORA = rds.DatabaseClusterEngine.auroraPostgres({
  version: rds.AuroraPostgresEngineVersion.VER_16_13,
});

/** What closed subnets need. */
const CLOSED = { sqs: true, secretsManager: true, onImportedVpc: true };

function importedPool(stack: Stack): cognito.IUserPool {
  return cognito.UserPool.fromUserPoolArn(stack, 'Pool', poolArn(stack));
}

function ownPool(stack: Stack): cognito.UserPool {
  return new cognito.UserPool(stack, 'Pool');
}

function importedVpc(stack: Stack): ec2.IVpc {
  return ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
    vpcId: 'vpc-0123456789abcdef0',
    availabilityZones: ['eu-west-1a', 'eu-west-1b'],
    privateSubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
    privateSubnetRouteTableIds: ['rtb-0123456789abcdef0', 'rtb-0123456789abcdef1'],
    vpcCidrBlock: '10.0.0.0/16',
  });
}

function adminSecret(stack: Stack): secretsmanager.ISecret {
  const arn = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:admin-AbCdEf';
  return secretsmanager.Secret.fromSecretCompleteArn(stack, 'Admin', arn);
}

function chained(stack: Stack, id: string): lambda.IFunction {
  return lambda.Function.fromFunctionArn(stack, id, `arn:aws:lambda:eu-west-1:123456789012:function:${id}`);
}

/** What Cognito asks of whoever updates a pool that sends SMS, and has a sender of its own. */
function updaters(stack: Stack) {
  return {
    smsRole: iam.Role.fromRoleArn(stack, 'Sms', 'arn:aws:iam::123456789012:role/sms', { mutable: false }),
    senderKey: kms.Key.fromKeyArn(stack, 'Sender', 'arn:aws:kms:eu-west-1:123456789012:key/1'),
  };
}

/** Whom alarms tell. */
function told(stack: Stack): SnsAction[] {
  return [new SnsAction(new sns.Topic(stack, 'Topic', { enforceSSL: true }))];
}

/** Where Cognito delivers what threat protection sees. */
function userAuthEvents(stack: Stack): logs.ILogGroup {
  return logs.LogGroup.fromLogGroupName(stack, 'UserAuthEvents', '/aws/vendedlogs/cognito/app');
}

/** A provider of OpenID Connect that signs people in. */
export function oidc(stack: Stack): ConsoleSignIn {
  return ConsoleSignIn.oidc({
    issuer: 'https://idp.example.com',
    authorizationEndpoint: 'https://idp.example.com/authorize',
    tokenEndpoint: 'https://idp.example.com/token',
    userInfoEndpoint: 'https://idp.example.com/userinfo',
    clientId: 'console',
    clientSecret: secretsmanager.Secret.fromSecretNameV2(stack, 'ConsoleClient', 'console-client'),
    scope: 'openid email groups',
  });
}

/** The pool of those who work here, with a client that a load balancer takes. */
export function staff(stack: Stack, changes: Partial<cognito.UserPoolClientOptions> = {}): ConsoleSignIn {
  const mutable = { mutable: true };
  const userPool = new cognito.UserPool(stack, 'Staff', {
    customAttributes: { console: new cognito.StringAttribute(mutable) },
  });
  const standard = new cognito.ClientAttributes().withStandardAttributes({
    email: true,
    emailVerified: true,
  });
  const client = userPool.addClient('Console', {
    generateSecret: true,
    oAuth: {
      flows: { authorizationCodeGrant: true },
      scopes: [cognito.OAuthScope.OPENID],
      callbackUrls: ['https://console.example.com/oauth2/idpresponse'],
    },
    readAttributes: standard.withCustomAttributes('console'),
    writeAttributes: new cognito.ClientAttributes().withStandardAttributes({ email: true }),
    ...changes,
  });
  const domain = userPool.addDomain('Domain', { cognitoDomain: { domainPrefix: 'example-staff' } });
  return ConsoleSignIn.userPool({ userPool, client, domain });
}

/** The console, without Docker. */
export function consoleOf(stack: Stack, changes: Partial<FargateConsoleOptions> = {}): UserSyncConsole {
  const arn = 'arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012';
  return UserSyncConsole.fargate({
    hostName: 'console.example.com',
    certificate: acm.Certificate.fromCertificateArn(stack, 'Certificate', arn),
    signIn: changes.signIn ?? oidc(stack),
    roles: { read: ['support'], reveal: ['support-lead'], act: ['operators'] },
    peers: [ec2.Peer.ipv4('10.0.0.0/16')],
    image: ecs.ContainerImage.fromRegistry('example/user-sync'),
    ...changes,
  });
}

/** What is imported everywhere, with what a variant changes. */
/** Has RDS manage the owner's password: CDK's constructs have no prop for it in the oldest CDK. */
export function managedByRds<T extends rds.DatabaseInstance | rds.DatabaseCluster>(database: T): T {
  const made = database.node.defaultChild as rds.CfnDBInstance | rds.CfnDBCluster;
  made.masterUserPassword = undefined;
  made.masterUsername = 'owner';
  made.manageMasterUserPassword = true;
  return database;
}

export function sync(stack: Stack, code: string, changes: Changes = {}): CognitoUserSync {
  const database = () =>
    UserSyncDatabase.fromAttributes({
      // Each stack has a server of its own: two on one would be refused.
      host: `db.${stack.stackName}.eu-west-1.rds.amazonaws.com`,
      resourceId: 'db-ABC',
      securityGroup: ec2.SecurityGroup.fromSecurityGroupId(stack, 'DatabaseGroup', 'sg-0123456789abcdef0'),
      adminSecret: adminSecret(stack),
    });
  return new CognitoUserSync(stack, 'Sync', {
    code,
    userPool: changes.userPool ?? importedPool(stack),
    vpc: changes.vpc ?? importedVpc(stack),
    database: changes.database ?? database(),
    databaseName: 'app',
    ...changes,
  });
}

const VARIANTS: Record<string, (stack: Stack) => Changes> = {
  ImportedPool: (stack) => ({ alarmActions: told(stack) }),
  OwnPool: (stack) => ({ userPool: ownPool(stack) }),
  Secret: () => ({ auth: DatabaseAuth.secret() }),
  SecretRotated: () => ({ auth: DatabaseAuth.secret({ rotateAfter: Duration.days(30) }), endpoints: CLOSED }),
  SecretGiven: (stack) => {
    const given = (name: string) => secretsmanager.Secret.fromSecretNameV2(stack, name, name);
    return { auth: DatabaseAuth.secret({ consumer: given('consumer'), reader: given('reader') }) };
  },
  Instance: (stack) => {
    const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 1 });
    const instance = new rds.DatabaseInstance(stack, 'Database', {
      engine: POSTGRES,
      vpc,
      iamAuthentication: true,
      storageEncrypted: true,
    });
    return { vpc, userPool: ownPool(stack), database: UserSyncDatabase.fromInstance(instance) };
  },
  Cluster: (stack) => {
    const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 1 });
    const writer = rds.ClusterInstance.serverlessV2('writer');
    const cluster = new rds.DatabaseCluster(stack, 'Database', {
      engine: AURORA,
      vpc,
      writer,
      iamAuthentication: true,
      storageEncrypted: true,
    });
    return { vpc, database: UserSyncDatabase.fromCluster(cluster) };
  },
  Proxy: (stack) => {
    const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 1 });
    const instance = new rds.DatabaseInstance(stack, 'Database', {
      engine: POSTGRES,
      vpc,
      storageEncrypted: true,
    });
    const defaultAuthScheme = rds.DefaultAuthScheme.IAM_AUTH;
    const proxy = instance.addProxy('Proxy', { vpc, defaultAuthScheme });
    return {
      vpc,
      database: UserSyncDatabase.fromProxy(proxy, { behind: UserSyncDatabase.fromInstance(instance) }),
    };
  },
  ProxySecret: (stack) => {
    const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 1 });
    const instance = new rds.DatabaseInstanceFromSnapshot(stack, 'Database', {
      engine: POSTGRES,
      vpc,
      snapshotIdentifier: 'before',
      credentials: rds.SnapshotCredentials.fromGeneratedSecret('owner'),
    });
    const [consumer, reader] = ['consumer', 'reader'].map((login) =>
      secretsmanager.Secret.fromSecretNameV2(stack, login, login),
    );
    const proxy = instance.addProxy('Proxy', { vpc, secrets: [consumer!, reader!] });
    return {
      vpc,
      database: UserSyncDatabase.fromProxy(proxy, { behind: UserSyncDatabase.fromInstance(instance) }),
      auth: DatabaseAuth.secret({ consumer, reader }),
    };
  },
  // A password that RDS manages, and commands beside a database that nothing leads out of.
  CommandTaskClosed: (stack) => {
    const vpc = new ec2.Vpc(stack, 'Vpc', {
      natGateways: 0,
      subnetConfiguration: [{ name: 'Isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED }],
    });
    const cluster = new rds.DatabaseCluster(stack, 'Database', {
      engine: AURORA,
      vpc,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
      writer: rds.ClusterInstance.serverlessV2('writer'),
      iamAuthentication: true,
      storageEncrypted: true,
    });
    return {
      vpc,
      database: UserSyncDatabase.fromCluster(managedByRds(cluster)),
      endpoints: { sqs: true, secretsManager: true, ecr: true, logs: true, s3: true },
      commandTask: {},
      encryptionKey: new kms.Key(stack, 'Key', { enableKeyRotation: true }),
    };
  },
  // The subnets of a default VPC.
  FargatePublic: (stack) => ({
    vpc: ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['eu-west-1a', 'eu-west-1b'],
      publicSubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
      publicSubnetRouteTableIds: ['rtb-0123456789abcdef0', 'rtb-0123456789abcdef1'],
      vpcCidrBlock: '172.31.0.0/16',
    }),
    endpoints: { secretsManager: true, onImportedVpc: true },
    compute: UserSyncCompute.fargate({ assignPublicIp: true }),
    commandTask: { assignPublicIp: true },
    triggers: PoolTriggers.attach({ keep: true }),
  }),
  Fargate: () => ({
    compute: UserSyncCompute.fargate(),
    endpoints: { ...CLOSED, ecr: true, logs: true, s3: true },
  }),
  FargateSecretArm: () => ({
    compute: UserSyncCompute.fargate({
      image: ecs.ContainerImage.fromRegistry('example/user-sync'),
      desiredCount: 1,
      cpu: 512,
      memoryLimitMiB: 1_024,
    }),
    architecture: lambda.Architecture.ARM_64,
    auth: DatabaseAuth.secret(),
  }),
  Key: (stack) => ({
    encryptionKey: new kms.Key(stack, 'Key', { enableKeyRotation: true }),
    auth: DatabaseAuth.secret(),
    userPool: ownPool(stack),
  }),
  Console: (stack) => ({ console: consoleOf(stack, { image: undefined }) }),
  // All that a console can have.
  ConsoleActs: (stack) => ({
    console: consoleOf(stack, {
      signIn: staff(stack),
      allow: [ConsoleRight.REVEAL, ConsoleRight.ACT],
      replica: {
        host: 'replica.eu-west-1.rds.amazonaws.com',
        securityGroup: ec2.SecurityGroup.fromSecurityGroupId(stack, 'ReplicaGroup', 'sg-0123456789abcdef1'),
      },
    }),
    commandTask: { image: ecs.ContainerImage.fromRegistry('example/user-sync') },
    contextQueue: true,
    auth: DatabaseAuth.secret({ rotateAfter: Duration.days(30) }),
    encryptionKey: new kms.Key(stack, 'Key', { enableKeyRotation: true }),
    architecture: lambda.Architecture.ARM_64,
    triggers: PoolTriggers.attach({ keep: true }),
    endpoints: CLOSED,
  }),
  LifecycleOff: () => ({ lifecycle: false }),
  DriftOff: () => ({ driftCheck: DriftCheck.none() }),
  MigrationsSkipped: () => ({
    migrations: Migrations.SKIP,
    database: UserSyncDatabase.fromAttributes({ host: 'db.example.com', port: 6_432 }),
    auth: DatabaseAuth.secret(),
  }),
  OutputOnly: () => ({ triggers: PoolTriggers.outputOnly() }),
  Chained: (stack) => ({
    triggers: PoolTriggers.attach({
      chainPostConfirmation: chained(stack, 'Welcome'),
      chainPostAuthentication: chained(stack, 'Audit'),
      ...updaters(stack),
    }),
  }),
  // What goes with the stack.
  ChainedOwnPool: (stack) => ({
    userPool: new cognito.UserPool(stack, 'Pool', { removalPolicy: RemovalPolicy.DESTROY }),
    triggers: PoolTriggers.attach({ chainPostConfirmation: chained(stack, 'Welcome') }),
    clientMetadataKeys: { ip: 'clientIp' },
    referralCodeAttribute: 'custom:referral_code',
  }),
  Keep: (stack) => ({
    triggers: PoolTriggers.attach({ keep: true, ...updaters(stack) }),
    alarmActions: told(stack),
  }),
  // What sends SMS, and has a key for a sender of its own.
  KeepOwnPool: (stack) => ({
    userPool: new cognito.UserPool(stack, 'Pool', {
      mfa: cognito.Mfa.OPTIONAL,
      customSenderKmsKey: new kms.Key(stack, 'Sender', { enableKeyRotation: true }),
    }),
    triggers: PoolTriggers.attach({ keep: true, chainPostConfirmation: chained(stack, 'Welcome') }),
    lifecycle: false,
  }),
  SchemaAndPrefix: () => ({ schema: 'eu', rolePrefix: 'eu_sync', auth: DatabaseAuth.secret() }),
  Endpoints: () => ({
    endpoints: CLOSED,
    architecture: lambda.Architecture.ARM_64,
    driftCheck: DriftCheck.every(Duration.hours(36)),
    lifecycleConcurrency: 2,
  }),
  LoginContext: (stack) => ({
    loginContext: [
      LoginContext.cloudTrail(),
      LoginContext.threatProtection({ logGroup: userAuthEvents(stack) }),
    ],
    alarmActions: told(stack),
  }),
  // CloudTrail alone, of clients that are named, onto queues with a key.
  LoginContextCloudTrail: (stack) => {
    const userPool = ownPool(stack);
    const app = userPool.addClient('App');
    return {
      userPool,
      loginContext: [LoginContext.cloudTrail({ clients: [app.userPoolClientId, '1example23456789'] })],
      encryptionKey: new kms.Key(stack, 'Key', { enableKeyRotation: true }),
    };
  },
  FargateThreatProtection: (stack) => ({
    compute: UserSyncCompute.fargate(),
    auth: DatabaseAuth.secret(),
    loginContext: [LoginContext.threatProtection({ logGroup: userAuthEvents(stack) })],
  }),
  ContextQueue: () => ({ contextQueue: true, recordRetention: Duration.days(90) }),
  DeploymentCheck: () => ({ deploymentCheck: true, driftCheck: DriftCheck.none() }),
  Traced: () => ({
    tracing: lambda.Tracing.ACTIVE,
    logLevel: lambda.ApplicationLogLevel.WARN,
    heartbeatInterval: Duration.minutes(30),
    removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
  }),
};

/** All variants, in one app. */
export function variants(app: App, code: string): Map<string, { stack: Stack; sync: CognitoUserSync }> {
  const made = Object.entries(VARIANTS).map(([name, changes]) => {
    const stack = new Stack(app, name);
    return [name, { stack, sync: sync(stack, code, changes(stack)) }] as const;
  });
  return new Map(made);
}

/** What one composition consists of. */
export interface Composition {
  readonly trigger?: Stack;
  readonly pool?: Stack;
  readonly key?: Stack;
  readonly database?: Stack;
  readonly stack: Stack;
  readonly sync?: CognitoUserSync;
}

/** The trigger first, then the pool that calls it, then the rest. */
export function threeStacks(app: App, code: string) {
  const [trigger, pool, stack] = ['ThreeTrigger', 'ThreePool', 'Three'].map((name) => new Stack(app, name));
  const encryptionKey = new kms.Key(trigger!, 'Key', { enableKeyRotation: true });
  const made = new UserSyncTrigger(trigger!, 'Trigger', { code, encryptionKey });
  const userPool = new cognito.UserPool(pool!, 'Pool');
  made.attachTo(userPool);
  return {
    trigger: trigger!,
    pool: pool!,
    stack: stack!,
    sync: sync(stack!, code, { userPool, trigger: made, deploymentCheck: true }),
  };
}

/** The key before all that it encrypts: a stack of its own, or the trigger's. */
export function keyStacks(app: App, code: string, name: string, keyStack?: Stack) {
  const of = (part: string) => new Stack(app, `${name}${part}`);
  const [trigger, pool, stack] = [of('Trigger'), of('Pool'), of('')];
  const key = keyStack ?? trigger;
  const encryptionKey = new kms.Key(key, 'Key', { enableKeyRotation: true });
  const made = new UserSyncTrigger(trigger, 'Trigger', { code, encryptionKey });
  const userPool = new cognito.UserPool(pool, 'Pool');
  made.attachTo(userPool);
  const auth = DatabaseAuth.secret({ rotateAfter: Duration.days(30) });
  const others = { commandTask: {}, deploymentCheck: true, loginContext: [LoginContext.cloudTrail()] };
  const props = { userPool, trigger: made, encryptionKey, auth, ...others };
  return { trigger, pool, key, stack, sync: sync(stack, code, props) };
}

/** A database of another stack, whose owner's password has a key there. */
export function databaseStacks(app: App, code: string) {
  const [database, stack] = [new Stack(app, 'EncryptedDatabase'), new Stack(app, 'BesideDatabase')];
  const vpc = new ec2.Vpc(database, 'Vpc', { natGateways: 1 });
  const encryptionKey = new kms.Key(database, 'Key', { enableKeyRotation: true });
  const instance = new rds.DatabaseInstance(database, 'Database', {
    engine: POSTGRES,
    vpc,
    iamAuthentication: true,
    storageEncrypted: true,
    credentials: rds.Credentials.fromGeneratedSecret('owner', { encryptionKey }),
  });
  return {
    database,
    stack,
    sync: sync(stack, code, { vpc, database: UserSyncDatabase.fromInstance(instance) }),
  };
}

const REPLICA_ARN = 'arn:aws:cognito-idp:us-east-1:123456789012:userpool/eu-west-1_Abc123Def';
const QUEUE_ARN = 'arn:aws:sqs:eu-west-1:123456789012:user-sync';

/** One server, whichever stack says so. */
export function sharedDatabase(stack: Stack): UserSyncDatabase {
  return UserSyncDatabase.fromAttributes({
    host: 'db.shared.eu-west-1.rds.amazonaws.com',
    resourceId: 'db-ABC',
    adminSecret: adminSecret(stack),
  });
}

/** What is composed of several stacks, or of several deployments. */
export function compositions(app: App, code: string): Map<string, Composition> {
  const elsewhere = (name: string) =>
    new Stack(app, name, { env: { account: '123456789012', region: 'us-east-1' } });
  const [far, own] = [elsewhere('SecondRegion'), elsewhere('SecondRegionOwnQueue')];
  const queue = sqs.Queue.fromQueueArn(far, 'Queue', QUEUE_ARN);
  const replica = cognito.UserPool.fromUserPoolArn(far, 'Replica', REPLICA_ARN);
  new UserSyncTrigger(far, 'Trigger', { code, queue }).permit(replica);
  new UserSyncTrigger(own, 'Trigger', { code });
  const env = { account: '123456789012', region: 'eu-west-1' };
  const known = new Stack(app, 'KnownAccount', { env });
  const [one, other] = [new Stack(app, 'One'), new Stack(app, 'Other')];
  return new Map<string, Composition>([
    ['ThreeStacks', threeStacks(app, code)],
    ['TriggerKey', keyStacks(app, code, 'TriggerKey')],
    ['KeyStack', keyStacks(app, code, 'KeyStack', new Stack(app, 'KeyFirst'))],
    ['DatabaseStack', databaseStacks(app, code)],
    ['SecondRegion', { stack: far }],
    ['SecondRegionOwnQueue', { stack: own }],
    ['KnownAccount', { stack: known, sync: sync(known, code) }],
    ['One', { stack: one, sync: sync(one, code, { database: sharedDatabase(one) }) }],
    [
      'Other',
      {
        stack: other,
        sync: sync(other, code, {
          database: sharedDatabase(other),
          schema: 'other',
          rolePrefix: 'other_sync',
        }),
      },
    ],
  ]);
}

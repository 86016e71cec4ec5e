/**
 * What tests/deployed.rs deploys to the emulated AWS: the construct beside a pool and a database that are there
 * already, as a team adopts it. What the emulator cannot be is given by its environment.
 */
import { App, CfnOutput, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  CognitoUserSync,
  CognitoUserSyncProps,
  DatabaseAuth,
  UserSyncCompute,
  UserSyncDatabase,
  UserSyncTrigger,
} from '../../lib';

function given(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: tests/deployed.rs sets it`);
  return value;
}

const app = new App();
const inStacks = process.env.THREE_STACKS === 'true';
const env = { account: given('ACCOUNT'), region: given('REGION') };
// In three stacks, what is kept by default is kept: the test lists it.
const common = { code: given('DIST'), removalPolicy: inStacks ? undefined : RemovalPolicy.DESTROY };
// The emulator gives a message up by its receives; one that can never be applied does not wait for them.
const maxReceiveCount = inStacks ? 100 : 5;

/** The trigger before the pool, and the pool before the rest: each in a stack of its own, where that is asked for. */
function before(stack: Stack): Pick<CognitoUserSyncProps, 'userPool' | 'trigger' | 'maxReceiveCount'> {
  if (!inStacks)
    return {
      userPool: cognito.UserPool.fromUserPoolArn(stack, 'Pool', given('USER_POOL_ARN')),
      maxReceiveCount,
    };
  const trigger = new UserSyncTrigger(new Stack(app, 'EmulatedTrigger', { env }), 'Trigger', {
    ...common,
    maxReceiveCount,
  });
  const pools = new Stack(app, 'EmulatedPool', { env });
  const userPool = new cognito.UserPool(pools, 'Pool', { removalPolicy: RemovalPolicy.DESTROY });
  trigger.attachTo(userPool);
  new CfnOutput(pools, 'UserPoolId', { value: userPool.userPoolId });
  return { userPool, trigger };
}

/** A network of its own, or where the commands are to ask Cognito, the emulator's, with a way out. */
function network(stack: Stack): ec2.IVpc {
  // Zones by name: to look them up would write them into the context of this folder.
  const availabilityZones = ['a', 'b'].map((zone) => given('REGION') + zone);
  if (!inStacks)
    return new ec2.Vpc(stack, 'Vpc', {
      natGateways: 0,
      availabilityZones,
      restrictDefaultSecurityGroup: false,
    });
  return ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
    vpcId: 'vpc-00000001',
    availabilityZones,
    privateSubnetIds: ['subnet-00000001', 'subnet-00000002'],
    vpcCidrBlock: '172.31.0.0/16',
  });
}

const stack = new Stack(app, 'Emulated', { env });
const sync = new CognitoUserSync(stack, 'Sync', {
  ...common,
  ...before(stack),
  vpc: network(stack),
  database: UserSyncDatabase.fromAttributes({
    host: given('DATABASE_HOST'),
    port: Number(given('DATABASE_PORT')),
    adminSecret: secretsmanager.Secret.fromSecretCompleteArn(stack, 'Admin', given('ADMIN_SECRET_ARN')),
  }),
  databaseName: given('DATABASE_NAME'),
  // Another deployment on the same server has the tables in `public` and the roles of the default prefix.
  schema: 'identity',
  rolePrefix: given('ROLE_PREFIX'),
  auth: DatabaseAuth.secret(),
  compute: UserSyncCompute.lambda({ batchSize: 10 }),
  deploymentCheck: process.env.DEPLOYMENT_CHECK === 'true',
  // Docker is not there, and nothing runs the image.
  commandTask: inStacks ? { image: ecs.ContainerImage.fromRegistry('example/user-sync') } : undefined,
});
// The emulator has no alarms on a calculation.
const calculated = { metricName: 'calculated', namespace: 'UserSync', period: 60, statistic: 'Maximum' };
for (const { node } of sync.alarms) {
  const alarm = node.defaultChild as cloudwatch.CfnAlarm;
  if (alarm.metrics) Object.assign(alarm, { ...calculated, metrics: undefined });
}
// A check that fails waits until shortly before its deadline: five minutes, as it is deployed.
const check = sync.node.tryFindChild('DeploymentCheck')?.node.findChild('Function').node.defaultChild;
if (check) (check as lambda.CfnFunction).timeout = 45;
const outputs: Record<string, string> = {
  QueueUrl: sync.queue.queueUrl,
  DeadLetterQueueUrl: sync.deadLetterQueue.queueUrl,
  Trigger: sync.triggerFunction.functionArn,
  Consumer: (sync.consumer as lambda.Function).functionName,
  Lifecycle: sync.lifecycleFunction.functionName,
  Migrator: sync.migrator!.functionName,
  Drift: sync.driftFunction!.functionName,
};
for (const [name, value] of Object.entries(outputs)) new CfnOutput(stack, name, { value });

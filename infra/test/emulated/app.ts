/**
 * What tests/deployed.rs deploys to the emulated AWS: the construct beside a pool and a database that are there
 * already, as a team adopts it. What the emulator cannot be is given by its environment.
 */
import { App, CfnOutput, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { CognitoUserSync, DatabaseAuth, UserSyncCompute, UserSyncDatabase } from '../../lib';

function given(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: tests/deployed.rs sets it`);
  return value;
}

const app = new App();
const stack = new Stack(app, 'Emulated', { env: { account: given('ACCOUNT'), region: given('REGION') } });
const sync = new CognitoUserSync(stack, 'Sync', {
  userPool: cognito.UserPool.fromUserPoolArn(stack, 'Pool', given('USER_POOL_ARN')),
  // Zones by name: to look them up would write them into the context of this folder.
  vpc: new ec2.Vpc(stack, 'Vpc', {
    natGateways: 0,
    availabilityZones: ['a', 'b'].map((zone) => given('REGION') + zone),
    restrictDefaultSecurityGroup: false,
  }),
  database: UserSyncDatabase.fromAttributes({
    host: given('DATABASE_HOST'),
    port: Number(given('DATABASE_PORT')),
    adminSecret: secretsmanager.Secret.fromSecretCompleteArn(stack, 'Admin', given('ADMIN_SECRET_ARN')),
  }),
  databaseName: given('DATABASE_NAME'),
  // Another deployment on the same server has the tables in `public` and the roles of the default prefix.
  schema: 'identity',
  rolePrefix: 'shop',
  auth: DatabaseAuth.secret(),
  code: given('DIST'),
  compute: UserSyncCompute.lambda({ batchSize: 10 }),
  // The emulator gives a message up by its receives; one that can never be applied does not wait for them.
  maxReceiveCount: 5,
  removalPolicy: RemovalPolicy.DESTROY,
});
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

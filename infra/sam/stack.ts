/** The construct with the values of the template's parameters: what the template must come out as. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { App, Duration, FileSystem, Stack } from 'aws-cdk-lib';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import { operatorsOutputs } from '../bin/outputs';
import {
  CognitoUserSync,
  DatabaseAuth,
  LoginContext,
  Migrations,
  PoolTriggers,
  UserSyncCompute,
  UserSyncDatabase,
} from '../lib';
import { Value } from './parameters';

/** The name of the stack, which stands for whatever the deployed one is called. */
export const STACK_NAME = 'stand-in-stack-name';

/** The id of the construct in it. */
export const CONSTRUCT = 'Sync';

const PROGRAMS = ['user-sync-trigger', 'user-sync-consumer', 'user-sync-lifecycle', 'user-sync-operator'];

/** A synthesized template, as JSON has it, and what stands in it for builds of programs. */
export interface Synthesized {
  readonly template: any;
  /** Programs by the fingerprints of what stood in for them. */
  readonly builds: Record<string, string>;
}

/** Synthesizes the construct with these values of all parameters. */
export function synthesize(values: Record<string, Value>): Synthesized {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'user-sync-sam-'));
  // CDK's own check of the template takes longer than the synthesis; cfn-lint checks what comes out of it.
  process.env.CDK_VALIDATION = 'false';
  try {
    const builds = programs(folder);
    const app = new App({
      outdir: path.join(folder, 'out'),
      analyticsReporting: false,
      context: {
        'aws:cdk:enable-path-metadata': true,
        'aws:cdk:enable-asset-metadata': true,
        'aws:cdk:disable-asset-staging': true,
        userSyncDeployment: values.Deployment,
      },
    });
    const stack = new Stack(app, STACK_NAME);
    made(stack, folder, values);
    return { template: app.synth().getStackByName(STACK_NAME).template, builds };
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** Stands in for what `make lambda` builds. */
function programs(folder: string): Record<string, string> {
  const builds: Record<string, string> = {};
  for (const program of PROGRAMS) {
    const built = path.join(folder, 'lambda', program);
    fs.mkdirSync(built, { recursive: true });
    fs.writeFileSync(path.join(built, 'bootstrap'), program, { mode: 0o755 });
    builds[FileSystem.fingerprint(built)] = program;
  }
  return builds;
}

function made(stack: Stack, code: string, values: Record<string, Value>): void {
  const text = (name: string): string | undefined => String(values[name]) || undefined;
  const isOn = (name: string) => values[name] === 'true';
  const named = <T>(name: string, make: (id: string, arn: string) => T): T | undefined => {
    const arn = text(name);
    return arn === undefined ? undefined : make(name.replace(/Arn$|Id$/, ''), arn);
  };
  const chained = (name: string) => named(name, (id, arn) => lambda.Function.fromFunctionArn(stack, id, arn));
  const sync = new CognitoUserSync(stack, CONSTRUCT, {
    code,
    userPool: cognito.UserPool.fromUserPoolId(stack, 'Pool', text('UserPoolId')!),
    vpc: ec2.Vpc.fromVpcAttributes(stack, 'Network', {
      vpcId: text('VpcId')!,
      availabilityZones: ['a', 'b'],
      privateSubnetIds: values.SubnetIds as string[],
    }),
    database: UserSyncDatabase.fromAttributes({
      host: text('DatabaseHost')!,
      port: Number(values.DatabasePort),
      resourceId: text('DatabaseResourceId'),
      securityGroup: named('DatabaseSecurityGroupId', (id, group) =>
        ec2.SecurityGroup.fromSecurityGroupId(stack, id, group),
      ),
      adminSecret: named('AdminSecretArn', (id, arn) =>
        secretsmanager.Secret.fromSecretCompleteArn(stack, id, arn),
      ),
    }),
    databaseName: text('DatabaseName')!,
    migrations: text('AdminSecretArn') ? Migrations.RUN : Migrations.SKIP,
    auth: text('DatabaseAuth') === 'secret' ? DatabaseAuth.secret() : DatabaseAuth.iam(),
    schema: text('Schema'),
    rolePrefix: text('RolePrefix'),
    ledgerRetention: text('AdminSecretArn') ? Duration.days(Number(values.LedgerRetentionDays)) : undefined,
    triggers: PoolTriggers.attach({
      chainPostConfirmation: chained('ChainPostConfirmationArn'),
      chainPostAuthentication: chained('ChainPostAuthenticationArn'),
      overwrite: isOn('OverwriteTriggers'),
      keep: isOn('KeepTriggers'),
    }),
    compute: UserSyncCompute.lambda({
      memorySize: Number(values.MemorySize),
      maxConcurrency: Number(values.MaxConcurrency),
      batchSize: Number(values.BatchSize),
    }),
    deploymentCheck: isOn('DeploymentCheck'),
    maxReceiveCount: Number(values.MaxReceiveCount),
    lifecycle: isOn('Lifecycle'),
    loginContext: isOn('LoginContext') ? [LoginContext.cloudTrail()] : undefined,
    logRetention: Number(values.LogRetentionDays),
    alarmActions: named('AlarmTopicArn', (id, arn) => [
      new SnsAction(sns.Topic.fromTopicArn(stack, id, arn)),
    ]),
  });
  operatorsOutputs(stack, sync, text('UserPoolId')!);
}

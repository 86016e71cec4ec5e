import * as path from 'node:path';
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { requireAuthorities } from './certificates';
import { sources } from './login-context';
import { databaseWord, refuse, rolePrefix, schemaName, seconds, wholeNumber } from './limits';
import { DatabaseAuth, DriftCheck, Migrations, PoolTriggers, UserSyncCompute } from './options';
import { CognitoUserSyncProps } from './props';

/** The props with their defaults, each within its limits. */
export type Settings = ReturnType<typeof settings>;

/** Fails with the first prop that cannot be, the limit, and what was given. */
export function settings(props: CognitoUserSyncProps, region: string) {
  const compute = props.compute ?? UserSyncCompute.lambda();
  const receives = compute.fargateOptions ? 100 : 1_000;
  databaseWord('databaseName', props.databaseName);
  if (props.schema !== undefined) schemaName('schema', props.schema);
  requireAuthorities(region, props.certificateAuthorities);
  return {
    fargate: compute.fargateOptions,
    auth: auth(props),
    triggers: props.triggers ?? PoolTriggers.attach(),
    driftInterval: (props.driftCheck ?? DriftCheck.daily()).interval,
    lifecycle: props.lifecycle ?? true,
    lifecycleConcurrency: lifecycleConcurrency(props),
    runsMigrations: runsMigrations(props),
    code: props.code ?? path.join(__dirname, '..', '..', 'dist'),
    architecture: props.architecture ?? lambda.Architecture.X86_64,
    logRetention: props.logRetention ?? logs.RetentionDays.THREE_MONTHS,
    removalPolicy: props.removalPolicy ?? RemovalPolicy.RETAIN,
    ...batching(props),
    maximumConcurrency: wholeNumber('maximumConcurrency', props.maximumConcurrency ?? 4, 2, 1_000),
    maxReceiveCount: wholeNumber('maxReceiveCount', props.maxReceiveCount ?? receives, 1, 1_000),
    consumerMemorySize: wholeNumber('consumerMemorySize', props.consumerMemorySize ?? 512, 128, 10_240),
    ...loginContext(props),
    retentionDays: wholeNumber('retentionDays', props.retentionDays ?? 400, 31, 3_650),
  };
}

/** The logins, each with a name. Logins belong to the whole server, as the group roles do. */
function auth(props: CognitoUserSyncProps) {
  const prefix = rolePrefix('rolePrefix', props.rolePrefix ?? 'user_sync');
  const given = props.auth ?? DatabaseAuth.iam();
  return {
    ...given,
    consumerUser: databaseWord('consumerUser', given.consumerUser ?? `${prefix}_consumer_login`),
    readerUser: databaseWord('readerUser', given.readerUser ?? `${prefix}_reader_login`),
  };
}

function lifecycleConcurrency({ lifecycleConcurrency: given }: CognitoUserSyncProps): number | undefined {
  return given === undefined ? given : wholeNumber('lifecycleConcurrency', given, 1, 100);
}

/** The sources of contexts, whether there is a queue of them, and how long they are kept. */
function loginContext(props: CognitoUserSyncProps) {
  const read = sources(props.loginContext);
  const { contextQueue } = props;
  if (read && contextQueue === false)
    refuse('contextQueue', contextQueue, 'left out or true, since a source in loginContext needs the queue');
  const days = props.recordRetention?.toDays({ integral: false });
  if (days !== undefined && props.migrations === Migrations.SKIP) {
    const set = 'set USER_SYNC_RECORD_RETENTION_DAYS where you run `user-sync maintain`';
    refuse('recordRetention', days, `left out with migrations: Migrations.SKIP: ${set}`);
  }
  return {
    sources: read,
    hasContextQueue: contextQueue ?? read !== undefined,
    recordRetentionDays: days === undefined ? days : wholeNumber('recordRetention', days, 31, 3_650),
  };
}

function batching(props: CognitoUserSyncProps): { batchSize: number; batchingWindow: Duration } {
  const batchSize = wholeNumber('batchSize', props.batchSize ?? 1_000, 1, 10_000);
  const batchingWindow = seconds('batchingWindow', props.batchingWindow ?? Duration.seconds(1), 0, 300);
  // "Batching behavior", AWS Lambda Developer Guide.
  if (batchSize > 10 && batchingWindow.toSeconds() < 1) {
    refuse('batchingWindow', '0 s', `1 s at least, since batchSize is ${batchSize}: above 10`);
  }
  return { batchSize, batchingWindow };
}

function runsMigrations({ migrations, database }: CognitoUserSyncProps): boolean {
  if (migrations === Migrations.SKIP) return false;
  if (database.owner.adminSecret) return true;
  throw new Error(
    "CognitoUserSync: database has no adminSecret, and migrations need the owner's credentials: give " +
      'adminSecret (for a proxy: `behind`), or migrations: Migrations.SKIP and run `user-sync migrate` yourself',
  );
}

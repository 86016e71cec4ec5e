/** What the props of a `CognitoUserSync` must be, beside each other and beside the rest of the app. */
import { Duration, Stack, Token } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import { Construct } from 'constructs';
import { isChained } from './chains';
import { claimPool } from './claims';
import { UserSyncCompute } from './compute';
import { databaseWord, refuse, schemaName, seconds, wholeNumber } from './limits';
import { Sources } from './login-context';
import { Migrations } from './migrations';
import { refuseSharedDatabase } from './neighbours';
import { CognitoUserSyncProps } from './props';

/** Fails where what is said does not go together. */
export function checkProps(scope: Construct, props: CognitoUserSyncProps): void {
  databaseWord('databaseName', props.databaseName);
  if (props.schema !== undefined) schemaName('schema', props.schema);
  checkPool(Stack.of(scope), props.userPool);
  claimPool(scope, props.userPool);
  checkRegion(Stack.of(scope), props.userPool);
  checkTrigger(props);
  retention(props);
  refuseSharedDatabase(scope, props);
}

/** A trigger, its pool and Cognito's calls are of one account and one Region. */
function checkPool(stack: Stack, userPool: cognito.IUserPool): void {
  for (const part of ['region', 'account'] as const) {
    const [theirs, ours] = [userPool.env[part], stack[part]];
    if (Token.isUnresolved(theirs) || Token.isUnresolved(ours) || theirs === ours) continue;
    throw new Error(
      `CognitoUserSync: userPool is of the ${part} ${theirs}, and the stack of ${ours}: Cognito calls functions of its own ` +
        `account and Region only: put the construct into a stack with env: { ${part}: '${theirs}' }`,
    );
  }
}

/** The Region whose name a pool's id has: that of a pool that is imported by its id is said to be the stack's. */
function checkRegion({ region }: Stack, { userPoolId }: cognito.IUserPool): void {
  if (Token.isUnresolved(region) || Token.isUnresolved(userPoolId)) return;
  const [named, ...rest] = userPoolId.split('_');
  if (rest.length === 0 || named === region) return;
  refuse(
    'userPool',
    userPoolId,
    `one of ${region}, the stack's Region: put the construct into a stack with env: { region: '${named}' }. Of a pool ` +
      'with replicas it belongs in the first Region, whose name the id has; in another have a UserSyncTrigger',
  );
}

/** What is the trigger's own is said to the trigger. */
function checkTrigger({ trigger, triggers, compute, ...props }: CognitoUserSyncProps): void {
  if (!trigger) return;
  if (!trigger._queues)
    throw new Error(
      `CognitoUserSync: trigger is ${trigger.node.path}, which sends to a queue that was given to it: give the ` +
        'UserSyncTrigger that has the queue; this one needs no CognitoUserSync of its own',
    );
  for (const prop of ['maxReceiveCount', 'clientMetadataKeys', 'referralCodeAttribute'] as const)
    if (props[prop] !== undefined)
      refuse(prop, props[prop], 'left out where a trigger is given: say it to the UserSyncTrigger');
  const [needed, given] = [
    (compute ?? UserSyncCompute.lambda())._queue.visibilityTimeout,
    trigger._visibilityTimeout,
  ];
  if (needed.toSeconds() > given.toSeconds())
    throw new Error(
      `CognitoUserSync: trigger hides a message for ${given.toSeconds()} s, and compute needs ${needed.toSeconds()} s: ` +
        `give UserSyncTrigger visibilityTimeout: Duration.seconds(${needed.toSeconds()})`,
    );
  if (isChained(triggers?.attachOptions ?? {}))
    refuse(
      'triggers',
      'PoolTriggers.attach with a chained function',
      'without one where a trigger is given: chain it with UserSyncTrigger',
    );
}

/** Whether this construct migrates the database. */
export function runsMigrations({ migrations, database }: CognitoUserSyncProps): boolean {
  if (migrations === Migrations.SKIP) return false;
  if (database.owner.adminSecret) return true;
  throw new Error(
    "CognitoUserSync: database has no adminSecret, and migrations need the owner's credentials: give " +
      'adminSecret (for a proxy: `behind`), or migrations: Migrations.SKIP and run `user-sync migrate` yourself',
  );
}

/** For how many days logins, and records of them, stay in the ledger one by one. */
export interface Retention {
  readonly ledger: number;
  readonly records?: number;
}

/** How long logins, and records of them, are kept one by one. */
export function retention(props: CognitoUserSyncProps): Retention {
  const days = (prop: string, given: Duration) =>
    wholeNumber(prop, given.toDays({ integral: false }), 31, 3_650);
  if (props.ledgerRetention && props.migrations === Migrations.SKIP) {
    const given = props.ledgerRetention.toDays({ integral: false });
    const set = 'say it as `--retention-days` where you run `user-sync maintain`';
    refuse('ledgerRetention', given, `left out with migrations: Migrations.SKIP: ${set}`);
  }
  const ledger = days('ledgerRetention', props.ledgerRetention ?? Duration.days(400));
  if (!props.recordRetention) return { ledger };
  if (props.migrations === Migrations.SKIP) {
    const set = 'set USER_SYNC_RECORD_RETENTION_DAYS where you run `user-sync maintain`';
    const given = props.recordRetention.toDays({ integral: false });
    refuse('recordRetention', given, `left out with migrations: Migrations.SKIP: ${set}`);
  }
  return { ledger, records: days('recordRetention', props.recordRetention) };
}

/** How often heartbeats are sent. */
export function heartbeatInterval({
  heartbeatInterval: given = Duration.minutes(5),
}: CognitoUserSyncProps): Duration {
  seconds('heartbeatInterval', given, 60, 3_600);
  if (given.toSeconds() % 60 !== 0)
    refuse('heartbeatInterval', `${given.toSeconds()} s`, 'whole minutes from 1 to 60');
  return given;
}

/** How many instances of the lifecycle function there may be. */
export function lifecycleConcurrency({
  lifecycleConcurrency: given,
}: CognitoUserSyncProps): number | undefined {
  return given === undefined ? given : wholeNumber('lifecycleConcurrency', given, 1, 100);
}

/** Whether there is a queue of contexts. */
export function hasContextQueue({ contextQueue }: CognitoUserSyncProps, read?: Sources): boolean {
  if (read && contextQueue === false)
    refuse('contextQueue', contextQueue, 'left out or true, since a source in loginContext needs the queue');
  return contextQueue ?? read !== undefined;
}

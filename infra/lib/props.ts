/** What a `CognitoUserSync` can be told. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { PoolTriggers } from './attach-options';
import { CommandTaskOptions } from './command-task';
import { TriggerOptions } from './common-props';
import { UserSyncCompute } from './compute';
import { UserSyncConsole } from './console';
import { UserSyncDatabase } from './database';
import { DatabaseAuth } from './database-auth';
import { DriftCheck } from './drift-check';
import { EndpointOptions } from './endpoints';
import { LoginContextProps } from './login-context';
import { Migrations } from './migrations';
import { AlarmThresholds } from './monitoring/thresholds';
import { UserSyncTrigger } from './user-sync-trigger';

/** What a `CognitoUserSync` needs to know. */
export interface CognitoUserSyncProps extends TriggerOptions, LoginContextProps {
  /**
   * The user pool whose users become rows, of this account and Region. A pool of this stack gets its triggers directly, any
   * other by a custom resource; see `triggers`.
   */
  readonly userPool: cognito.IUserPool;

  /**
   * The trigger and its queue, where they are made before, in a stack of their own. Then what is the trigger's own is said
   * to it: `maxReceiveCount`, `clientMetadataKeys`, `referralCodeAttribute`, and the functions that it chains.
   *
   * @default - one is made
   */
  readonly trigger?: UserSyncTrigger;

  /** The VPC from which the database can be reached. The trigger function stays outside. */
  readonly vpc: ec2.IVpc;

  /**
   * The subnets of all that connects to the database. They need a way to SQS: a NAT gateway, or `endpoints`.
   *
   * @default - the private subnets, else the isolated ones
   */
  readonly vpcSubnets?: ec2.SubnetSelection;

  /** The PostgreSQL, 14 or newer, that holds the tables. */
  readonly database: UserSyncDatabase;

  /** The name of the database on it, which must be there. */
  readonly databaseName: string;

  /**
   * The PostgreSQL schema that holds the tables, 1 to 63 bytes. One user pool a schema is the way for several pools
   * in one database.
   *
   * @default 'public'
   */
  readonly schema?: string;

  /**
   * The prefix of the group roles `<prefix>_owner`, `<prefix>_consumer`, `<prefix>_app` and `<prefix>_reader`, 1 to 48
   * lower-case letters, digits or `_`. Roles belong to the whole server: two deployments on one server need two
   * prefixes, and `migrate` refuses a prefix that another deployment has marked.
   *
   * @default 'user_sync'
   */
  readonly rolePrefix?: string;

  /**
   * How programs log in to the database.
   *
   * @default DatabaseAuth.iam()
   */
  readonly auth?: DatabaseAuth;

  /**
   * The authorities that the database's certificate is checked against, as the path of a PEM file.
   *
   * @default - Amazon RDS's, of the commercial regions that were there in 2024
   */
  readonly certificateAuthorities?: string;

  /**
   * Where the consumer runs.
   *
   * @default UserSyncCompute.lambda()
   */
  readonly compute?: UserSyncCompute;

  /**
   * A task in the VPC in which the commands of `user-sync` run once, and outputs with the lines that run them.
   *
   * @default - none
   */
  readonly commandTask?: CommandTaskOptions;

  /**
   * Pages for whoever runs this, and for support staff: whether every sign-in is in the database, and why a user looks so.
   *
   * @default - none
   */
  readonly console?: UserSyncConsole;

  /**
   * Whether users whom an administrator creates, changes, disables or deletes are followed by CloudTrail's
   * events. Without, such changes come with the user's next login or `user-sync reconcile`. Needs a trail of
   * management events. The pool's triggers are looked at either way.
   *
   * @default true
   */
  readonly lifecycle?: boolean;

  /**
   * Most instances of the lifecycle function at once, 1 to 100, as its reserved concurrency. Each takes at most 5
   * requests of ListUsers a second, of the 30 that the account and Region have, and a bulk change of users makes Lambda
   * run several. Lambda keeps what it must hold back for up to 6 hours; heartbeats wait behind it, so their alarm may
   * ring. The account must have so much unreserved concurrency, and keep 100.
   *
   * @default - as many as Lambda runs
   */
  readonly lifecycleConcurrency?: number;

  /**
   * How often a heartbeat goes all the way into the database, in whole minutes from 1 minute to 1 hour. Each one wakes a
   * database that pauses by itself.
   *
   * @default Duration.minutes(5)
   */
  readonly heartbeatInterval?: Duration;

  /**
   * How often the pool is compared with the table, of any size: what does not fit into the Lambda's 15 minutes is gone
   * on with by its next invocation. It asks Cognito outside of the VPC, and the rows by a function inside.
   *
   * @default DriftCheck.daily()
   */
  readonly driftCheck?: DriftCheck;

  /**
   * Whether a deployment ends with a heartbeat that must arrive in the database within five minutes. If it does not, the
   * deployment fails with the consumer's own error.
   *
   * @default false
   */
  readonly deploymentCheck?: boolean;

  /**
   * Who migrates the database.
   *
   * @default Migrations.RUN
   */
  readonly migrations?: Migrations;

  /**
   * For how long logins stay in the ledger one by one, 31 to 3,650 days; older ones are folded into the
   * baseline, and stay counted.
   *
   * @default Duration.days(400)
   */
  readonly ledgerRetention?: Duration;

  /**
   * Who makes the trigger function the pool's.
   *
   * @default PoolTriggers.attach()
   */
  readonly triggers?: PoolTriggers;

  /**
   * The VPC endpoints that are to be made where `vpcSubnets` have no way out, each for the whole VPC.
   *
   * @default - none
   */
  readonly endpoints?: EndpointOptions;

  /**
   * What is done when an alarm is raised, and when it is over, such as `[new SnsAction(topic)]`.
   *
   * @default - nothing: alarms are only shown
   */
  readonly alarmActions?: cloudwatch.IAlarmAction[];

  /**
   * From where on the alarms ring.
   *
   * @default - as `AlarmThresholds` says of each
   */
  readonly alarmThresholds?: AlarmThresholds;
}

import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sns from 'aws-cdk-lib/aws-sns';
import { UserSyncDatabase } from './database';
import { LoginContextProps } from './login-context';
import {
  ClientMetadataKeys,
  DatabaseAuth,
  DriftCheck,
  Migrations,
  PoolTriggers,
  UserSyncCompute,
} from './options';

/** What a `CognitoUserSync` needs to know. */
export interface CognitoUserSyncProps extends LoginContextProps {
  /**
   * The user pool whose users become rows. A pool of this stack gets its triggers directly, any other by a
   * custom resource; see `triggers`.
   */
  readonly userPool: cognito.IUserPool;

  /** The VPC from which the database can be reached. The trigger function stays outside. */
  readonly vpc: ec2.IVpc;

  /**
   * The subnets of the consumer, the migrator and the drift check. They need a way to SQS: a NAT gateway, or
   * `endpoints`.
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
   * How the consumer and the drift check log in to the database.
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
   * The folder of the built programs, as `make lambda` leaves it: `lambda/<program>/bootstrap`, and for the worker
   * `worker/user-sync` and `worker/Dockerfile`. For arm64 the folders are `lambda-arm64` and `worker-arm64`.
   *
   * @default - the folder `dist` beside `infra`
   */
  readonly code?: string;

  /**
   * What the programs were built for.
   *
   * @default lambda.Architecture.X86_64
   */
  readonly architecture?: lambda.Architecture;

  /**
   * Most messages that are applied in one transaction, 1 to 10,000.
   *
   * @default 1000
   */
  readonly batchSize?: number;

  /**
   * How long Lambda gathers a batch, 0 to 300 s; 1 s at least where `batchSize` is above 10.
   *
   * @default Duration.seconds(1)
   */
  readonly batchingWindow?: Duration;

  /**
   * Most consumer functions at once, 2 to 1,000. Each takes one connection, so this bounds the database's.
   *
   * @default 4
   */
  readonly maximumConcurrency?: number;

  /**
   * How often a message is received before it is given up as a dead letter, 1 to 1,000. What can never be
   * applied does not wait for it. Lambda goes on receiving while the database is unavailable, and retries are 2 s to
   * 15 min apart: 1,000 outlast about ten days. The worker does not receive meanwhile.
   *
   * @default - 1000 for Lambda, 100 for the worker
   */
  readonly maxReceiveCount?: number;

  /**
   * Memory of the consumer function in MiB, 128 to 10,240.
   *
   * @default 512
   */
  readonly consumerMemorySize?: number;

  /**
   * A key for the queue, the dead-letter queue, the trigger's log, which may hold events, and the generated secrets. It
   * must be symmetric. The policy of a key that is made in the app is added to; that of an imported one must permit
   * `logs.<region>.amazonaws.com` to use it, and `events.amazonaws.com` with `LoginContext.cloudTrail`.
   *
   * @default - keys that SQS, CloudWatch Logs and Secrets Manager own
   */
  readonly encryptionKey?: kms.IKey;

  /**
   * How long logs are kept. An undelivered event is in the trigger's log and nowhere else: replay it before.
   *
   * @default logs.RetentionDays.THREE_MONTHS
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * What becomes of the queues and the trigger's log, which may hold events, with the stack.
   *
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy;

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
   * How often the pool is compared with the table, of any size: what does not fit into the Lambda's 15 minutes is gone
   * on with by its next invocation. Needs a way to Cognito from `vpcSubnets`.
   *
   * @default DriftCheck.daily()
   */
  readonly driftCheck?: DriftCheck;

  /**
   * Who migrates the database.
   *
   * @default Migrations.RUN
   */
  readonly migrations?: Migrations;

  /**
   * For how many days logins stay in the ledger one by one, 31 to 3,650; older ones are folded into the
   * baseline, and stay counted.
   *
   * @default 400
   */
  readonly retentionDays?: number;

  /**
   * Who makes the trigger function the pool's.
   *
   * @default PoolTriggers.attach()
   */
  readonly triggers?: PoolTriggers;

  /**
   * The names under which your clients send ClientMetadata.
   *
   * @default - the documented names
   */
  readonly clientMetadataKeys?: ClientMetadataKeys;

  /**
   * The user attribute that has the referral code of a sign-up, such as `custom:referral_code`, where its
   * ClientMetadata has none: in managed login, and with identity providers, where no ClientMetadata reaches.
   *
   * @default - none: referral codes come from ClientMetadata only
   */
  readonly referralCodeAttribute?: string;

  /**
   * Whether to make the VPC endpoints that are needed where `vpcSubnets` have no way out. A VPC takes one
   * endpoint of a service: leave it out where they are there, and open them to `connections`.
   *
   * @default false
   */
  readonly endpoints?: boolean;

  /**
   * Where the alarms say that they are raised, and that they are over.
   *
   * @default - nowhere: they are only shown
   */
  readonly alarmTopic?: sns.ITopic;
}

import { Duration } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { refuse, seconds, wholeNumber } from './limits';

/** The names of the two logins that the migrator makes. */
export interface DatabaseLogins {
  /**
   * The consumer's login, a member of `<rolePrefix>_consumer`.
   *
   * @default - `<rolePrefix>_consumer_login`: by default `user_sync_consumer_login`
   */
  readonly consumerUser?: string;

  /**
   * The drift check's login, a member of `<rolePrefix>_reader`.
   *
   * @default - `<rolePrefix>_reader_login`: by default `user_sync_reader_login`
   */
  readonly readerUser?: string;
}

/** The logins' secrets. */
export interface SecretAuthOptions extends DatabaseLogins {
  /**
   * The consumer's credentials, in RDS's JSON form; its `username` is `consumerUser`.
   *
   * @default - generated
   */
  readonly consumer?: secretsmanager.ISecret;

  /**
   * The drift check's credentials, in RDS's JSON form; its `username` is `readerUser`.
   *
   * @default - generated
   */
  readonly reader?: secretsmanager.ISecret;

  /**
   * Rotate the generated secrets so often, by Secrets Manager's hosted rotation: 4 hours to 1,000 days.
   *
   * @default - they are not rotated
   */
  readonly rotateAfter?: Duration;
}

/** How the consumer and the drift check log in to the database. */
export class DatabaseAuth {
  /** With a token that lasts 15 minutes, made from the function's role: there is no password. */
  public static iam(logins: DatabaseLogins = {}): DatabaseAuth {
    return new DatabaseAuth(false, logins);
  }

  /** With passwords in Secrets Manager, read again when they have changed. */
  public static secret(options: SecretAuthOptions = {}): DatabaseAuth {
    return new DatabaseAuth(true, options);
  }

  /** The consumer's login, if it was named. */
  public readonly consumerUser?: string;

  /** The drift check's login, if it was named. */
  public readonly readerUser?: string;

  /** The consumer's secret, if one was given. */
  public readonly consumerSecret?: secretsmanager.ISecret;

  /** The drift check's secret, if one was given. */
  public readonly readerSecret?: secretsmanager.ISecret;

  /** How often generated secrets are rotated. */
  public readonly rotateAfter?: Duration;

  /**
   * @param usesSecrets Whether logins have passwords in Secrets Manager.
   */
  private constructor(
    public readonly usesSecrets: boolean,
    options: SecretAuthOptions,
  ) {
    this.consumerUser = options.consumerUser;
    this.readerUser = options.readerUser;
    this.consumerSecret = options.consumer;
    this.readerSecret = options.reader;
    // "Rotation schedules", AWS Secrets Manager User Guide.
    this.rotateAfter = options.rotateAfter && seconds('rotateAfter', options.rotateAfter, 14_400, 86_400_000);
    if (options.rotateAfter && options.consumer && options.reader) {
      refuse(
        'rotateAfter',
        options.rotateAfter.toString(),
        'left out when both secrets are given: they are yours to rotate',
      );
    }
  }
}

/** The worker on AWS Fargate. */
export interface FargateComputeOptions {
  /**
   * The image, whose entry point is `user-sync`, which has `user-sync` in its PATH, for the health check, and RDS's
   * certificates in `/opt/rds-ca.pem`.
   *
   * @default - built by Docker from what `make lambda` left in `code`
   */
  readonly image?: ecs.ContainerImage;

  /**
   * CPU units of a task.
   *
   * @default 256
   */
  readonly cpu?: number;

  /**
   * Memory of a task in MiB.
   *
   * @default 512
   */
  readonly memoryLimitMiB?: number;

  /**
   * How many tasks run, 1 to 100. Two outlive the loss of an availability zone.
   *
   * @default 2
   */
  readonly tasks?: number;

  /**
   * Batches that one task has under way, 1 to 64; each takes one connection.
   *
   * @default 2
   */
  readonly concurrency?: number;

  /**
   * The cluster to run in.
   *
   * @default - a cluster of its own
   */
  readonly cluster?: ecs.ICluster;
}

/** Where the consumer runs. */
export class UserSyncCompute {
  /** As a Lambda function behind the queue's event source mapping: nothing runs, and nothing costs, while nobody signs in. */
  public static lambda(): UserSyncCompute {
    return new UserSyncCompute(undefined);
  }

  /** As tasks of AWS Fargate that run `user-sync worker`. */
  public static fargate(options: FargateComputeOptions = {}): UserSyncCompute {
    wholeNumber('tasks', options.tasks ?? 2, 1, 100);
    wholeNumber('concurrency', options.concurrency ?? 2, 1, 64);
    return new UserSyncCompute(options);
  }

  /**
   * @param fargateOptions The worker, if that is what runs.
   */
  private constructor(public readonly fargateOptions?: FargateComputeOptions) {}
}

/** How the pool's two triggers are set. */
export interface AttachOptions {
  /**
   * The function that was the pool's PostConfirmation trigger before. It is called first, and its answer is
   * Cognito's.
   *
   * @default - none
   */
  readonly chainPostConfirmation?: lambda.IFunction;

  /**
   * The function that was the pool's PostAuthentication trigger before. It is called first, and its answer is
   * Cognito's.
   *
   * @default - none
   */
  readonly chainPostAuthentication?: lambda.IFunction;

  /**
   * Whether to replace a trigger of somebody else's that is not chained. Of an imported pool only.
   *
   * @default false
   */
  readonly overwrite?: boolean;

  /**
   * Whether a function puts the triggers back when somebody has taken them away: at once, and a few times an hour at
   * most. Only what is missing is put back: another function there stays, and an alarm rings. `user-sync triggers hold` stops
   * it, for an incident. Not of a pool that is deleted with its stack.
   *
   * @default false
   */
  readonly keep?: boolean;

  /**
   * The role with which the pool sends SMS, if it does: Cognito asks whoever updates such a pool for the right to
   * pass it on. Not needed of a pool of the same stack.
   *
   * @default - the pool sends no SMS
   */
  readonly smsRole?: iam.IRole;

  /**
   * The key of the pool's custom e-mail or SMS sender, if it has one: Cognito makes a grant on it for whoever
   * updates such a pool. Not needed of a pool of the same stack.
   *
   * @default - the pool has no custom sender
   */
  readonly senderKey?: kms.IKey;
}

/** Who makes the trigger function the pool's PostConfirmation and PostAuthentication trigger. */
export class PoolTriggers {
  /**
   * The construct does. Of a pool in the same stack it sets the two triggers; of any other pool a custom
   * resource changes these two settings and nothing else, refuses to replace somebody else's trigger, and puts
   * back what was there when it is deleted. Each deployment sets those that are missing: a property of the resource is
   * the time of the synthesis, or what the context says as `userSyncDeployment`.
   */
  public static attach(options: AttachOptions = {}): PoolTriggers {
    return new PoolTriggers(options);
  }

  /** You do: an output has the function's ARN. Cognito may invoke it already. */
  public static outputOnly(): PoolTriggers {
    return new PoolTriggers(undefined);
  }

  /**
   * @param attachOptions How they are set, if the construct sets them.
   */
  private constructor(public readonly attachOptions?: AttachOptions) {}
}

/** How often the whole pool is compared with the table. */
export class DriftCheck {
  /** Every day. */
  public static daily(): DriftCheck {
    return new DriftCheck(Duration.days(1));
  }

  /** At another interval, of whole minutes from 1 hour to 3 days. */
  public static every(interval: Duration): DriftCheck {
    seconds('driftCheck', interval, 3_600, 259_200);
    if (interval.toSeconds() % 60 !== 0) refuse('driftCheck', `${interval.toSeconds()} s`, 'whole minutes');
    return new DriftCheck(interval);
  }

  /** Never. A scheduled `user-sync reconcile` does the same. */
  public static none(): DriftCheck {
    return new DriftCheck(undefined);
  }

  /**
   * @param interval How often, if at all.
   */
  private constructor(public readonly interval?: Duration) {}
}

/** Who migrates the database. */
export enum Migrations {
  /** A deployment does, before the consumer's new code runs; the ledger is maintained daily. */
  RUN = 'run',

  /** You do: `user-sync migrate` before a deployment, `user-sync maintain` daily. */
  SKIP = 'skip',
}

/** The names under which your clients send ClientMetadata. */
export interface ClientMetadataKeys {
  /**
   * The key with the client's IP address.
   *
   * @default 'ip'
   */
  readonly ip?: string;

  /**
   * The key with the client's user agent.
   *
   * @default 'user_agent'
   */
  readonly userAgent?: string;

  /**
   * The key with `Mobile`, `Tablet` or `Desktop`.
   *
   * @default 'device'
   */
  readonly device?: string;

  /**
   * The key with the client's place.
   *
   * @default 'location'
   */
  readonly location?: string;

  /**
   * The key with the code of whoever referred the user.
   *
   * @default 'referral_code'
   */
  readonly referralCode?: string;
}

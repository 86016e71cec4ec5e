/** How programs log in to the database: by IAM, or by passwords in Secrets Manager. */
import { Duration } from 'aws-cdk-lib';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { refuse, seconds } from './limits';
import { Logins, LoginsProps } from './logins';

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

  /**
   * Makes what the logins consist of.
   *
   * @internal
   */
  public _bind(scope: Construct, props: LoginsProps): Logins {
    return new Logins(scope, this, props);
  }
}

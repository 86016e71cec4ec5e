/** How programs log in to the database: by IAM, or by passwords in Secrets Manager. */
import { Duration } from 'aws-cdk-lib';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { refuse, seconds } from './limits';
import { Logins, LoginsProps } from './logins';
import { IamLogins } from './logins-iam';
import { SecretLogins } from './logins-secret';

/** The names of the logins that the migrator makes. */
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

  /**
   * The console's login, a member of `<rolePrefix>_console`, where there is a console.
   *
   * @default - `<rolePrefix>_console_login`: by default `user_sync_console_login`
   */
  readonly consoleUser?: string;
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
   * The console's credentials, in RDS's JSON form; its `username` is `consoleUser`.
   *
   * @default - generated, where there is a console
   */
  readonly console?: secretsmanager.ISecret;

  /**
   * Rotate the generated secrets so often, by Secrets Manager's hosted rotation: 4 hours to 1,000 days.
   *
   * @default - they are not rotated
   */
  readonly rotateAfter?: Duration;
}

/** How programs log in to the database: each way makes its logins itself, and holds its own props. */
export abstract class DatabaseAuth {
  /** With a token that lasts 15 minutes, made from the function's role: there is no password. */
  public static iam(logins: DatabaseLogins = {}): DatabaseAuth {
    return new IamAuth(logins);
  }

  /** With passwords in Secrets Manager, read again when they have changed. */
  public static secret(options: SecretAuthOptions = {}): DatabaseAuth {
    return new SecretAuth(options);
  }

  /**
   * Makes what the logins consist of.
   *
   * @internal
   */
  public abstract _bind(scope: Construct, props: LoginsProps): Logins;
}

class IamAuth extends DatabaseAuth {
  constructor(private readonly logins: DatabaseLogins) {
    super();
  }

  /** @internal */
  public _bind(scope: Construct, props: LoginsProps): Logins {
    return new IamLogins(scope, this.logins, props);
  }
}

class SecretAuth extends DatabaseAuth {
  constructor(private readonly options: SecretAuthOptions) {
    super();
    // "Rotation schedules", AWS Secrets Manager User Guide.
    if (options.rotateAfter) seconds('rotateAfter', options.rotateAfter, 14_400, 86_400_000);
  }

  /** @internal */
  public _bind(scope: Construct, props: LoginsProps): Logins {
    const { consumer, reader, console, rotateAfter } = this.options;
    const isGenerated = !consumer || (props.hasReader && !reader) || (props.hasConsole && !console);
    if (rotateAfter && !isGenerated)
      refuse(
        'rotateAfter',
        rotateAfter.toString(),
        props.hasReader
          ? `left out when ${props.hasConsole ? 'all' : 'both'} secrets are given: they are yours to rotate`
          : 'left out when the consumer’s secret is given and nobody reads: no secret is generated',
      );
    return new SecretLogins(scope, this.options, props);
  }
}

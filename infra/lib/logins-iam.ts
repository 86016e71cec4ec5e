/** Logins without a password: a token that whoever logs in signs with its own role. */
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { UserSyncDatabase } from './database';
import type { DatabaseLogins } from './database-auth';
import { Login, loginNames, Logins, LoginsProps } from './logins';

/** The logins, by IAM authentication. */
export class IamLogins extends Logins {
  public readonly consumer: Login;
  public readonly reader: Login;
  public readonly console: Login;
  public readonly environment: Record<string, string>;
  public readonly consumerSecret = undefined;
  public readonly readerSecret = undefined;
  public readonly consoleSecret = undefined;

  constructor(scope: Construct, names: DatabaseLogins, props: LoginsProps) {
    super(scope, 'Logins');
    const { consumerUser, readerUser, consoleUser } = loginNames(props.prefix, names);
    props.database._warnOfIam(this);
    this.consumer = login(props, consumerUser);
    this.reader = login(props, readerUser);
    this.console = login(props, consoleUser);
    this.environment = {
      USER_SYNC_LOGINS_AUTH: 'iam',
      USER_SYNC_CONSUMER_LOGIN: consumerUser,
      USER_SYNC_READER_LOGIN: readerUser,
      ...(props.hasConsole && { USER_SYNC_CONSOLE_LOGIN: consoleUser }),
    };
  }

  /** Each token is a new one. */
  public rotate(): void {}
}

function login({ database, databaseName, schema }: LoginsProps, user: string): Login {
  const bind = (grantee: iam.IGrantable, at: UserSyncDatabase = database) => {
    at.grantConnect(grantee, user);
    return { ...at._environment(databaseName, schema, user), USER_SYNC_DATABASE_AUTH: 'iam' };
  };
  // Whoever logs in signs the token itself.
  return { user, needs: [], bind };
}

/** The logins of the database: the consumer's, which writes, the reader's, which does not, and the console's. */
import { CustomResource } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { UserSyncDatabase } from './database';
import type { DatabaseLogins } from './database-auth';
import { Service } from './endpoints';
import { databaseWord } from './limits';
import { Network } from './network';

/** One login. */
export interface Login {
  /** Its name. */
  readonly user: string;

  /** What whoever logs in must reach beside the database. */
  readonly needs: Service[];

  /** What a program needs to log in, at the database or at a replica of it, and the rights for it, which the grantee is given. */
  bind(grantee: iam.IGrantable, replica?: UserSyncDatabase): Record<string, string>;
}

/** What the logins are made for. */
export interface LoginsProps {
  readonly database: UserSyncDatabase;
  readonly databaseName: string;
  readonly schema?: string;
  readonly prefix: string;
  readonly encryptionKey?: kms.IKey;
  /** Whether anybody logs in as the reader. */
  readonly hasReader: boolean;
  /** Whether there is a console. */
  readonly hasConsole: boolean;
}

/** The logins, whatever they log in with. */
export abstract class Logins extends Construct {
  public abstract readonly consumer: Login;
  public abstract readonly reader: Login;
  public abstract readonly console: Login;

  /** The secret of the consumer's login, where there are passwords. */
  public abstract readonly consumerSecret?: secretsmanager.ISecret;

  /** The secret of the reader's login, where there are passwords and somebody reads. */
  public abstract readonly readerSecret?: secretsmanager.ISecret;

  /** The secret of the console's login, where there are passwords and a console. */
  public abstract readonly consoleSecret?: secretsmanager.ISecret;

  /** What the migrator makes, whatever it is asked. */
  public abstract readonly environment: Record<string, string>;

  /** Rotates what is to be rotated, for the first time at once, which needs a login to rotate. */
  public abstract rotate(network: Network, migration?: CustomResource): void;
}

/** Their names. Logins belong to the whole server, as the group roles do. */
export function loginNames(prefix: string, { consumerUser, readerUser, consoleUser }: DatabaseLogins) {
  return {
    consumerUser: databaseWord('consumerUser', consumerUser ?? `${prefix}_consumer_login`),
    readerUser: databaseWord('readerUser', readerUser ?? `${prefix}_reader_login`),
    consoleUser: databaseWord('consoleUser', consoleUser ?? `${prefix}_console_login`),
  };
}

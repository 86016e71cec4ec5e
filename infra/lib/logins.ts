/** Two logins of the database: the consumer's, which writes, and the reader's, which does not. */
import { CustomResource, Stack, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { UserSyncDatabase } from './database';
import type { DatabaseAuth } from './database-auth';
import { databaseWord } from './limits';
import { Network } from './network';

/** All ASCII punctuation: what stands in a password may then stand in a URL and in SQL. */
const EXCLUDED_FROM_PASSWORDS = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';

/** One login. */
export interface Login {
  /** Its name. */
  readonly user: string;

  /** What a program needs to log in, and the rights for it, which the grantee is given. */
  bind(grantee: iam.IGrantable): Record<string, string>;
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
}

/** Both logins, each with its secret where there are passwords. */
export class Logins extends Construct {
  public readonly consumer: Login;
  public readonly reader: Login;
  public readonly consumerSecret?: secretsmanager.ISecret;
  public readonly readerSecret?: secretsmanager.ISecret;

  constructor(
    scope: Construct,
    private readonly auth: DatabaseAuth,
    private readonly props: LoginsProps,
  ) {
    super(scope, 'Logins');
    const { prefix } = props;
    // Logins belong to the whole server, as the group roles do.
    const consumerUser = databaseWord('consumerUser', auth.consumerUser ?? `${prefix}_consumer_login`);
    const readerUser = databaseWord('readerUser', auth.readerUser ?? `${prefix}_reader_login`);
    if (auth.usesSecrets) {
      this.consumerSecret = auth.consumerSecret ?? this.secret('ConsumerSecret', consumerUser);
      if (props.hasReader) this.readerSecret = auth.readerSecret ?? this.secret('ReaderSecret', readerUser);
    }
    this.consumer = this.login(consumerUser, this.consumerSecret);
    this.reader = this.login(readerUser, this.readerSecret);
  }

  /** What the migrator makes, whatever it is asked. */
  public get environment(): Record<string, string> {
    return {
      USER_SYNC_LOGINS_AUTH: this.auth.usesSecrets ? 'secret' : 'iam',
      USER_SYNC_CONSUMER_LOGIN: this.consumer.user,
      USER_SYNC_READER_LOGIN: this.reader.user,
      ...(this.consumerSecret && { USER_SYNC_CONSUMER_SECRET_ARN: this.consumerSecret.secretArn }),
      ...(this.readerSecret && { USER_SYNC_READER_SECRET_ARN: this.readerSecret.secretArn }),
    };
  }

  /** Rotates the generated secrets, if that is asked for; the first time at once, which needs a login to rotate. */
  public rotate({ vpc, vpcSubnets, securityGroup }: Network, migration?: CustomResource): void {
    const { rotateAfter } = this.auth;
    if (!rotateAfter) return;
    for (const secret of [this.consumerSecret, this.readerSecret]) {
      if (!(secret instanceof secretsmanager.Secret) || secret.node.scope !== this) continue;
      const schedule = secret.addRotationSchedule('Rotation', {
        automaticallyAfter: rotateAfter,
        hostedRotation: secretsmanager.HostedRotation.postgreSqlSingleUser({
          vpc,
          vpcSubnets,
          securityGroups: [securityGroup],
          excludeCharacters: EXCLUDED_FROM_PASSWORDS,
        }),
      });
      if (migration) schedule.node.addDependency(migration);
    }
  }

  private login(user: string, secret?: secretsmanager.ISecret): Login {
    const { database, databaseName, schema } = this.props;
    const bind = (grantee: iam.IGrantable): Record<string, string> => {
      if (!secret) {
        database.grantConnect(grantee, user);
        return { ...database._environment(databaseName, schema, user), USER_SYNC_DATABASE_AUTH: 'iam' };
      }
      secret.grantRead(grantee);
      return {
        ...database._environment(databaseName, schema),
        USER_SYNC_DATABASE_AUTH: 'secret',
        USER_SYNC_DATABASE_SECRET_ARN: secret.secretArn,
      };
    };
    return { user, bind };
  }

  /** Credentials in RDS's JSON form, which hosted rotation reads too. */
  private secret(id: string, username: string): secretsmanager.Secret {
    const { database, databaseName, encryptionKey } = this.props;
    // Rotation sets the password where it is kept: a proxy would not let the new one in.
    const { host, port } = database.owner;
    const secret = new secretsmanager.Secret(this, id, {
      description: `Login ${username} of user-sync`,
      encryptionKey,
      generateSecretString: {
        generateStringKey: 'password',
        excludePunctuation: true,
        passwordLength: 40,
        secretStringTemplate: Stack.of(this).toJsonString({
          engine: 'postgres',
          host,
          port,
          dbname: databaseName,
          username,
        }),
      },
    });
    if (!this.auth.rotateAfter) {
      Validations.of(secret).acknowledge({
        id: 'AwsSolutions-SMG4',
        reason: 'Rotation is asked for by DatabaseAuth.secret({ rotateAfter }).',
      });
    }
    return secret;
  }
}

/** Logins with passwords in Secrets Manager, generated or given. */
import { CustomResource, Stack, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { UserSyncDatabase } from './database';
import type { SecretAuthOptions } from './database-auth';
import { Login, loginNames, Logins, LoginsProps } from './logins';
import { Network } from './network';
import { grantRead } from './rights';

/** All ASCII punctuation: what stands in a password may then stand in a URL and in SQL. */
const EXCLUDED_FROM_PASSWORDS = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';

/** The logins, each with its secret. */
export class SecretLogins extends Logins {
  public readonly consumer: Login;
  public readonly reader: Login;
  public readonly console: Login;
  public readonly environment: Record<string, string>;
  public readonly consumerSecret: secretsmanager.ISecret;
  public readonly readerSecret?: secretsmanager.ISecret;
  public readonly consoleSecret?: secretsmanager.ISecret;

  constructor(
    scope: Construct,
    private readonly options: SecretAuthOptions,
    private readonly props: LoginsProps,
  ) {
    super(scope, 'Logins');
    const { consumer, reader, console } = options;
    const { hasReader, hasConsole } = props;
    const { consumerUser, readerUser, consoleUser } = loginNames(props.prefix, options);
    props.database._checkSecrets([
      consumer,
      ...(hasReader ? [reader] : []),
      ...(hasConsole ? [console] : []),
    ]);
    this.consumerSecret = consumer ?? this.generate('ConsumerSecret', consumerUser);
    if (hasReader) this.readerSecret = reader ?? this.generate('ReaderSecret', readerUser);
    if (hasConsole) this.consoleSecret = console ?? this.generate('ConsoleSecret', consoleUser);
    this.consumer = login(props, consumerUser, this.consumerSecret);
    this.reader = login(props, readerUser, this.readerSecret);
    this.console = login(props, consoleUser, this.consoleSecret);
    this.environment = {
      USER_SYNC_LOGINS_AUTH: 'secret',
      USER_SYNC_CONSUMER_LOGIN: consumerUser,
      USER_SYNC_READER_LOGIN: readerUser,
      USER_SYNC_CONSUMER_SECRET_ARN: this.consumerSecret.secretArn,
      ...(this.readerSecret && { USER_SYNC_READER_SECRET_ARN: this.readerSecret.secretArn }),
      ...(this.consoleSecret && {
        USER_SYNC_CONSOLE_LOGIN: consoleUser,
        USER_SYNC_CONSOLE_SECRET_ARN: this.consoleSecret.secretArn,
      }),
    };
  }

  /** Rotates the secrets that were generated, if that is asked for: who gave one rotates it. */
  public rotate(network: Network, migration?: CustomResource): void {
    const { rotateAfter } = this.options;
    if (!rotateAfter) return;
    // The function that rotates stands in the VPC, too.
    network.functionsNeed('secretsManager');
    const { vpc, vpcSubnets, securityGroup } = network;
    for (const secret of [this.consumerSecret, this.readerSecret, this.consoleSecret]) {
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

  /** Credentials in RDS's JSON form, which hosted rotation reads too. */
  private generate(id: string, username: string): secretsmanager.Secret {
    const { database, databaseName: dbname, encryptionKey } = this.props;
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
          dbname,
          username,
        }),
      },
    });
    if (!this.options.rotateAfter) {
      Validations.of(secret).acknowledge({
        id: 'AwsSolutions-SMG4',
        reason: 'Rotation is asked for by DatabaseAuth.secret({ rotateAfter }).',
      });
    }
    return secret;
  }
}

function login(
  { database, databaseName, schema }: LoginsProps,
  user: string,
  secret?: secretsmanager.ISecret,
): Login {
  const bind = (grantee: iam.IGrantable, at: UserSyncDatabase = database): Record<string, string> => {
    if (!secret) throw new Error(`CognitoUserSync: nobody was to log in as ${user}, and now somebody does`);
    grantRead(secret, grantee);
    return {
      ...at._environment(databaseName, schema),
      USER_SYNC_DATABASE_AUTH: 'secret',
      USER_SYNC_DATABASE_SECRET_ARN: secret.secretArn,
    };
  };
  return { user, needs: ['secretsManager'], bind };
}

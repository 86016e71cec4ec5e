/** Where a proxy of Amazon RDS answers, and which of the two ways to log in it can do. */
import { Annotations, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { DatabaseProxyOptions, UserSyncDatabase } from './database';
import { DatabaseEndpoint, databaseError } from './database-endpoint';

/** "Configuring IAM authentication for RDS Proxy", Amazon RDS User Guide. */
const END_TO_END = 'IAM_AUTH';

/** The endpoint of a proxy, before which the migrator goes to the database itself. */
export function ofProxy(proxy: rds.IDatabaseProxy, options: DatabaseProxyOptions): DatabaseEndpoint {
  const own = proxy instanceof rds.DatabaseProxy ? proxy.connections : undefined;
  const given = options.securityGroup && new ec2.Connections({ securityGroups: [options.securityGroup] });
  const made = proxy.node.defaultChild;
  const common = {
    host: proxy.endpoint,
    port: options.port ?? 5432,
    connections: given ?? own,
    isProxy: true,
    dependencies: [proxy],
  };
  if (!(made instanceof rds.CfnDBProxy)) return { ...common, ...ofElsewhere(proxy) };
  return {
    ...common,
    connect: (grantee, user) => {
      if (made.defaultAuthScheme !== END_TO_END) {
        throw databaseError(
          `the proxy ${proxy.node.path} with defaultAuthScheme: ${made.defaultAuthScheme ?? 'NONE'}`,
          'it takes passwords to the database, and auth: DatabaseAuth.iam() has none: give the proxy ' +
            'defaultAuthScheme: DefaultAuthScheme.IAM_AUTH, or auth: DatabaseAuth.secret({ consumer, reader }), ' +
            'whose secrets the proxy must know',
        );
      }
      permitProxy(proxy, user, options.behind);
      return proxy.grantConnect(grantee, user);
    },
    checkSecrets: (secrets) => checkSecrets(proxy, made, secrets),
  };
}

/** A proxy that was made elsewhere, of which nobody here knows how it authenticates. */
function ofElsewhere(proxy: rds.IDatabaseProxy): Pick<DatabaseEndpoint, 'connect' | 'warnOfIam'> {
  return {
    connect: (grantee, user) => proxy.grantConnect(grantee, user),
    warnOfIam: (scope) =>
      Annotations.of(scope).addWarningV2(
        'cognito-user-sync:importedProxy',
        `database is the imported proxy ${proxy.node.path}, and auth is DatabaseAuth.iam(): nobody can log in unless ` +
          "the proxy's default authentication scheme is IAM_AUTH, and its role may rds-db:connect to the database as " +
          'both logins; otherwise give auth: DatabaseAuth.secret({ consumer, reader })',
      ),
  };
}

/** By end-to-end IAM authentication the proxy logs in to the database with its own role, which CDK gives no right for it. */
function permitProxy(proxy: rds.IDatabaseProxy, user: string, behind?: UserSyncDatabase): void {
  const role = proxy.node.tryFindChild('IAMRole');
  if (behind && role instanceof iam.Role) {
    behind.grantConnect(role, user);
    return;
  }
  Annotations.of(proxy).addWarningV2(
    'cognito-user-sync:proxyRole',
    `database is the proxy ${proxy.node.path}, and nobody here permits its role to rds-db:connect to the database as ${user}: ` +
      'give `behind` to UserSyncDatabase.fromProxy and leave `role` out of the proxy, or permit it yourself',
  );
}

/** Fails unless the proxy takes passwords, and knows those of both logins. */
function checkSecrets(
  proxy: rds.IDatabaseProxy,
  made: rds.CfnDBProxy,
  given: (secretsmanager.ISecret | undefined)[],
): void {
  const { auth } = Stack.of(proxy).resolve({ auth: made.auth ?? [] });
  const remedy =
    'make two secrets in the form of RDS, one of each login, give them to the proxy as `secrets` and to ' +
    'auth: DatabaseAuth.secret({ consumer, reader })';
  if (auth.some(({ iamAuth }: rds.CfnDBProxy.AuthFormatProperty) => iamAuth === 'REQUIRED')) {
    throw databaseError(
      `the proxy ${proxy.node.path} with iamAuth: true`,
      'it lets nobody in by a password: leave iamAuth out; then ' + remedy,
    );
  }
  const knows = auth.map(({ secretArn }: rds.CfnDBProxy.AuthFormatProperty) => JSON.stringify(secretArn));
  const isKnown = (secret?: secretsmanager.ISecret) =>
    secret && knows.includes(JSON.stringify(Stack.of(proxy).resolve(secret.secretArn)));
  if (given.every(isKnown)) return;
  throw databaseError(
    `the proxy ${proxy.node.path}, whose secrets are not those of the logins`,
    `it lets in only logins whose secrets it has: ${remedy}`,
  );
}

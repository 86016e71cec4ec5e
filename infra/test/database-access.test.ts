/** Which databases can be had, who may log in to them, and which nobody could use. */
import * as assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { CognitoUserSyncProps, DatabaseAuth, DriftCheck, Migrations, UserSyncDatabase } from '../lib';
import { dist } from './support';
import { Questions } from './template';
import { managedByRds, sync } from './variants';

const code = dist();

type Changes = Partial<CognitoUserSyncProps>;

const ENGINE = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16_13 });
const AURORA = rds.DatabaseClusterEngine.auroraPostgres({
  version: rds.AuroraPostgresEngineVersion.VER_16_13,
});

function synthesized(changes: (stack: Stack, vpc: ec2.IVpc) => Changes): Questions & { stack: Stack } {
  const stack = new Stack(new App(), 'Made');
  const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 1 });
  sync(stack, code, { vpc, ...changes(stack, vpc) });
  return Object.assign(new Questions(Template.fromStack(stack)), { stack });
}

function instanceIn(stack: Stack, vpc: ec2.IVpc, props: Partial<rds.DatabaseInstanceProps> = {}) {
  return new rds.DatabaseInstance(stack, 'Database', { engine: ENGINE, vpc, ...props });
}

function clusterIn(stack: Stack, vpc: ec2.IVpc, props: Partial<rds.DatabaseClusterProps> = {}) {
  const writer = rds.ClusterInstance.serverlessV2('writer');
  return new rds.DatabaseCluster(stack, 'Database', { engine: AURORA, vpc, writer, ...props });
}

/** The secret that the migrator reads as the owner's, and whether its role may. */
function owners(questions: Questions): unknown {
  const { USER_SYNC_DATABASE_SECRET_ARN: arn } = questions.environment('Schema');
  const readable = questions
    .statements('SyncSchemaFunctionRole')
    .filter(({ Action }) => Action.includes('secretsmanager:GetSecretValue'));
  assert.ok(JSON.stringify(readable).includes(JSON.stringify(arn)), 'the migrator may read it');
  return arn;
}

const warnings = (stack: Stack) =>
  Annotations.fromStack(stack)
    .findWarning('*', Match.stringLikeRegexp('cognito-user-sync'))
    .map(({ entry }) => String(entry.data));

describe('the owner’s credentials are those of', () => {
  test('an instance that was restored with a new password', () => {
    const questions = synthesized((stack, vpc) => {
      const instance = new rds.DatabaseInstanceFromSnapshot(stack, 'Database', {
        engine: ENGINE,
        vpc,
        snapshotIdentifier: 'before',
        credentials: rds.SnapshotCredentials.fromGeneratedSecret('owner'),
      });
      return { database: UserSyncDatabase.fromInstance(instance) };
    });
    const [attached] = questions.ids('AWS::SecretsManager::SecretTargetAttachment', 'Database');
    assert.deepEqual(owners(questions), { Ref: attached });
    // By IAM, which is the default.
    const { EnableIAMDatabaseAuthentication } = questions.properties('AWS::RDS::DBInstance', 'Database');
    assert.equal(EnableIAMDatabaseAuthentication, true);
  });

  test('a cluster that was restored with a new password, and of none with one that it does not have', () => {
    const of = (snapshotCredentials?: rds.SnapshotCredentials) =>
      synthesized((stack, vpc) => {
        const cluster = new rds.DatabaseClusterFromSnapshot(stack, 'Database', {
          engine: AURORA,
          vpc,
          writer: rds.ClusterInstance.provisioned('writer'),
          snapshotIdentifier: 'before',
          snapshotCredentials,
          iamAuthentication: true,
        });
        return { database: UserSyncDatabase.fromCluster(cluster) };
      });
    const restored = of(rds.SnapshotCredentials.fromGeneratedSecret('owner'));
    assert.match(JSON.stringify(owners(restored)), /DatabaseSnapshotSecret/);
    assert.throws(
      () => of(),
      /database has no adminSecret, .* give adminSecret .* or migrations: Migrations\.SKIP/,
    );
  });

  test('RDS, where it manages the password', () => {
    const instance = synthesized((stack, vpc) => ({
      database: UserSyncDatabase.fromInstance(managedByRds(instanceIn(stack, vpc))),
    }));
    const [id] = instance.ids('AWS::RDS::DBInstance', 'Database');
    assert.deepEqual(owners(instance), { 'Fn::GetAtt': [id, 'MasterUserSecret.SecretArn'] });
    const cluster = synthesized((stack, vpc) => {
      const made = managedByRds(clusterIn(stack, vpc, { iamAuthentication: true }));
      return { database: UserSyncDatabase.fromCluster(made) };
    });
    const [clusterId] = cluster.ids('AWS::RDS::DBCluster', 'Database');
    assert.deepEqual(owners(cluster), { 'Fn::GetAtt': [clusterId, 'MasterUserSecret.SecretArn'] });
  });

  test('RDS, with the key that its secret is encrypted with', () => {
    const database = (keyOf: (stack: Stack) => string) => {
      const stack = new Stack(new App(), 'Made');
      const instance = managedByRds(instanceIn(stack, new ec2.Vpc(stack, 'Vpc')));
      const made = instance.node.defaultChild as rds.CfnDBInstance;
      made.masterUserSecret = { kmsKeyId: keyOf(stack) };
      const { adminSecret } = UserSyncDatabase.fromInstance(instance);
      return stack.resolve(adminSecret!.encryptionKey?.keyArn);
    };
    const arn = 'arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012';
    assert.equal(
      database(() => arn),
      arn,
    );
    assert.match(
      JSON.stringify(database((stack) => new kms.Key(stack, 'Key').keyArn)),
      /^\{"Fn::GetAtt":\["Key/,
    );
    assert.equal(
      database(() => 'alias/aws/secretsmanager'),
      undefined,
    );
    assert.throws(
      () => database(() => 'alias/mine'),
      /Made\/Database with masterUserSecret\.kmsKeyId: "alias\/mine": .* give the key's ARN, or adminSecret/,
    );
  });

  test('RDS, as a newer CDK knows its secret', () => {
    const arn = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0123456789-AbCdEf';
    const stack = new Stack(new App(), 'Made');
    const instance = managedByRds(instanceIn(stack, new ec2.Vpc(stack, 'Vpc')));
    const secret = secretsmanager.Secret.fromSecretCompleteArn(stack, 'ManagedSecret', arn);
    Object.defineProperty(instance, 'secret', { value: secret });
    assert.equal(UserSyncDatabase.fromInstance(instance).adminSecret, secret);
  });

  test('RDS, where the database is imported, by the secret’s ARN', () => {
    const arn = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-0123456789-AbCdEf';
    const questions = synthesized((stack) => {
      const instance = rds.DatabaseInstance.fromDatabaseInstanceAttributes(stack, 'Database', {
        instanceIdentifier: 'app',
        instanceEndpointAddress: 'app.example.eu-west-1.rds.amazonaws.com',
        instanceResourceId: 'db-ABC',
        port: 5_432,
        securityGroups: [],
      });
      const adminSecret = secretsmanager.Secret.fromSecretCompleteArn(stack, 'Admin', arn);
      return { database: UserSyncDatabase.fromInstance(instance, { adminSecret }) };
    });
    assert.equal(owners(questions), arn);
    // Its groups were not named: whoever connects is let out to the port, and the rest is open for its owner to open.
    const { SecurityGroupEgress } = questions.properties(
      'AWS::EC2::SecurityGroup',
      'SyncNetworkSecurityGroup',
    );
    const ports = SecurityGroupEgress.map(({ FromPort }: { FromPort: number }) => FromPort);
    assert.deepEqual(ports, [443, 5_432]);
  });
});

test('a retention or a rotation of what nobody makes is refused', () => {
  const skipped = { migrations: Migrations.SKIP, driftCheck: DriftCheck.none() };
  assert.throws(
    () => synthesized(() => ({ ...skipped, ledgerRetention: Duration.days(90) })),
    /ledgerRetention is 90: it must be left out with migrations: Migrations\.SKIP: .*`user-sync maintain`/,
  );
  assert.throws(
    () =>
      synthesized((stack) => {
        const consumer = secretsmanager.Secret.fromSecretNameV2(stack, 'Consumer', 'consumer');
        const auth = DatabaseAuth.secret({ consumer, rotateAfter: Duration.days(30) });
        return { ...skipped, auth };
      }),
    /rotateAfter is .*: it must be left out when the consumer’s secret is given and nobody reads/,
  );
});

test('statements have no name where connections are shared: of a proxy by its id, of PgBouncer as it is said', () => {
  const named = (attributes: { resourceId?: string; pooled?: boolean }) => {
    const database = UserSyncDatabase.fromAttributes({ host: 'db.example.com', ...attributes });
    return database._environment('app').USER_SYNC_PREPARED_STATEMENTS;
  };
  assert.equal(named({ resourceId: 'prx-0123456789abcdef0' }), 'unnamed');
  assert.equal(named({ pooled: true }), 'unnamed');
  assert.equal(named({ resourceId: 'db-ABC' }), undefined);
  assert.equal(named({ resourceId: 'prx-0123456789abcdef0', pooled: false }), undefined);
});

describe('what nothing can be written to is refused:', () => {
  test('a read replica', () => {
    assert.throws(
      () =>
        synthesized((stack, vpc) => {
          const replica = new rds.DatabaseInstanceReadReplica(stack, 'Replica', {
            sourceDatabaseInstance: instanceIn(stack, vpc),
            instanceType: ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MEDIUM),
            vpc,
          });
          return { database: UserSyncDatabase.fromInstance(replica) };
        }),
      /database is the read replica Made\/Replica: nothing can be written to it: give UserSyncDatabase\.fromInstance its source/,
    );
  });

  test('a cluster that replicates another', () => {
    const replicationSourceIdentifier = 'arn:aws:rds:eu-west-1:123456789012:cluster:app';
    assert.throws(
      () =>
        synthesized((stack, vpc) => ({
          database: UserSyncDatabase.fromCluster(clusterIn(stack, vpc, { replicationSourceIdentifier })),
        })),
      /database is the cluster Made\/Database with replicationSourceIdentifier: a read replica: .* give UserSyncDatabase\.fromCluster its source/,
    );
  });
});

describe('IAM authentication is refused', () => {
  test('of an instance that has it switched off', () => {
    assert.throws(
      () =>
        synthesized((stack, vpc) => ({
          database: UserSyncDatabase.fromInstance(instanceIn(stack, vpc, { iamAuthentication: false })),
        })),
      /database is an instance with iamAuthentication: false \(Made\/Database\): .* give the instance iamAuthentication: true, or auth: DatabaseAuth\.secret\(\)/,
    );
  });

  test('of a cluster that does not have it switched on', () => {
    assert.throws(
      () => synthesized((stack, vpc) => ({ database: UserSyncDatabase.fromCluster(clusterIn(stack, vpc)) })),
      /database is a cluster without IAM authentication \(Made\/Database\): .* give the cluster iamAuthentication: true, or auth/,
    );
  });

  test('of what is imported without its resource id', () => {
    const secret = (stack: Stack) => secretsmanager.Secret.fromSecretNameV2(stack, 'Admin', 'admin');
    const instance = (stack: Stack) =>
      rds.DatabaseInstance.fromDatabaseInstanceAttributes(stack, 'Instance', {
        instanceIdentifier: 'app',
        instanceEndpointAddress: 'app.example.com',
        port: 5_432,
        securityGroups: [],
      });
    const cluster = (stack: Stack) =>
      rds.DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Cluster', {
        clusterIdentifier: 'app',
        clusterEndpointAddress: 'app.example.com',
        port: 5_432,
      });
    const CASES: [(stack: Stack) => UserSyncDatabase, RegExp][] = [
      [
        (stack) => UserSyncDatabase.fromInstance(instance(stack), { adminSecret: secret(stack) }),
        /database is the imported instance Made\/Instance without instanceResourceId: .* give instanceResourceId \("db-…"\) to DatabaseInstance\.fromDatabaseInstanceAttributes, or auth: DatabaseAuth\.secret\(\)/,
      ],
      [
        (stack) => UserSyncDatabase.fromCluster(cluster(stack), { adminSecret: secret(stack) }),
        /database is the imported cluster Made\/Cluster without clusterResourceIdentifier: .* give clusterResourceIdentifier \("cluster-…"\) to DatabaseCluster\.fromDatabaseClusterAttributes, or auth/,
      ],
      [
        (stack) => UserSyncDatabase.fromAttributes({ host: 'app.example.com', adminSecret: secret(stack) }),
        /database is app\.example\.com without resourceId: .* give resourceId to UserSyncDatabase\.fromAttributes, or auth/,
      ],
    ];
    for (const [database, message] of CASES) {
      assert.throws(() => synthesized((stack) => ({ database: database(stack) })), message);
      synthesized((stack) => ({ database: database(stack), auth: DatabaseAuth.secret() }));
    }
  });
});

test('a cluster that is imported without its endpoint is refused', () => {
  assert.throws(
    () =>
      synthesized((stack) => {
        const attributes = { clusterIdentifier: 'app' };
        const cluster = rds.DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Cluster', attributes);
        return { database: UserSyncDatabase.fromCluster(cluster) };
      }),
    /database is the imported cluster Made\/Cluster without clusterEndpointAddress and port: .* give them to DatabaseCluster\.fromDatabaseClusterAttributes/,
  );
});

describe('a proxy', () => {
  const behind = (
    stack: Stack,
    vpc: ec2.IVpc,
    proxied: (stack: Stack, instance: rds.DatabaseInstance) => Partial<rds.DatabaseProxyOptions>,
  ): UserSyncDatabase => {
    const instance = instanceIn(stack, vpc);
    const proxy = instance.addProxy('Proxy', { vpc, ...proxied(stack, instance) });
    return UserSyncDatabase.fromProxy(proxy, { behind: UserSyncDatabase.fromInstance(instance) });
  };
  const endToEnd = () => ({ defaultAuthScheme: rds.DefaultAuthScheme.IAM_AUTH });
  const secrets = (stack: Stack) =>
    ['Consumer', 'Reader'].map((id) => secretsmanager.Secret.fromSecretNameV2(stack, id, id));

  test('that hands IAM on is logged in to by IAM, and logs in with its own role as the same two', () => {
    const questions = synthesized((stack, vpc) => ({ database: behind(stack, vpc, endToEnd) }));
    const as = (role: string) =>
      questions
        .statements(role)
        .filter(({ Action }) => Action === 'rds-db:connect')
        .flatMap(({ Resource }) => Resource)
        .map((arn) => /(prx|DatabaseProxy\w+|DbiResourceId).*\/(\w+)"/.exec(JSON.stringify(arn)))
        .map((found) => [found![1]!.replace(/[0-9A-F]{8}$/, ''), found![2]]);
    assert.deepEqual(as('SyncConsumerFunctionRole'), [['DatabaseProxy', 'user_sync_consumer_login']]);
    assert.deepEqual(as('DatabaseProxyIAMRole').sort(), [
      ['DbiResourceId', 'user_sync_consumer_login'],
      ['DbiResourceId', 'user_sync_reader_login'],
    ]);
    const { EnableIAMDatabaseAuthentication } = questions.properties('AWS::RDS::DBInstance', 'Database');
    assert.equal(EnableIAMDatabaseAuthentication, true);
    assert.deepEqual(warnings(questions.stack), []);
  });

  test('that takes passwords to the database is refused for IAM', () => {
    for (const iamAuth of [true, false]) {
      assert.throws(
        () =>
          synthesized((stack, vpc) => ({
            database: behind(stack, vpc, (_, { secret }) => ({ secrets: [secret!], iamAuth })),
          })),
        /database is the proxy Made\/Database\/Proxy with defaultAuthScheme: NONE: .* give the proxy defaultAuthScheme: DefaultAuthScheme\.IAM_AUTH, or auth: DatabaseAuth\.secret\(\{ consumer, reader \}\), whose secrets the proxy must know/,
      );
    }
  });

  test('that knows the secrets of both logins is logged in to by them', () => {
    const questions = synthesized((stack, vpc) => {
      const [consumer, reader] = secrets(stack);
      return {
        database: behind(stack, vpc, () => ({ secrets: [consumer!, reader!] })),
        auth: DatabaseAuth.secret({ consumer, reader }),
      };
    });
    assert.equal(questions.environment('Consumer').USER_SYNC_DATABASE_AUTH, 'secret');
  });

  test('that does not know them is refused', () => {
    const remedy =
      /database is the proxy Made\/Database\/Proxy, whose secrets are not those of the logins: .* make two secrets .* give them to the proxy as `secrets` and to auth: DatabaseAuth\.secret\(\{ consumer, reader \}\)/;
    assert.throws(
      () =>
        synthesized((stack, vpc) => ({
          database: behind(stack, vpc, (_, { secret }) => ({ secrets: [secret!] })),
          auth: DatabaseAuth.secret(),
        })),
      remedy,
    );
    assert.throws(
      () =>
        synthesized((stack, vpc) => {
          const [consumer, reader] = secrets(stack);
          return {
            database: behind(stack, vpc, () => ({ secrets: [consumer!] })),
            auth: DatabaseAuth.secret({ consumer, reader }),
          };
        }),
      remedy,
    );
  });

  test('that lets in by IAM only is refused for passwords', () => {
    assert.throws(
      () =>
        synthesized((stack, vpc) => {
          const [consumer, reader] = secrets(stack);
          return {
            database: behind(stack, vpc, () => ({ secrets: [consumer!, reader!], iamAuth: true })),
            auth: DatabaseAuth.secret({ consumer, reader }),
          };
        }),
      /database is the proxy Made\/Database\/Proxy with iamAuth: true: .* leave iamAuth out/,
    );
  });

  test('whose role nobody here permits is warned of, and so is one that was made elsewhere', () => {
    const { stack } = synthesized((to, vpc) => {
      const proxy = instanceIn(to, vpc).addProxy('Proxy', { vpc, ...endToEnd() });
      return { database: UserSyncDatabase.fromProxy(proxy), migrations: Migrations.SKIP };
    });
    for (const login of ['consumer', 'reader'])
      assert.match(
        warnings(stack).join('\n'),
        new RegExp(`its role to rds-db:connect to the database as user_sync_${login}_login: give \`behind\``),
      );
    const elsewhere = synthesized((to) => {
      const proxy = rds.DatabaseProxy.fromDatabaseProxyAttributes(to, 'Proxy', {
        dbProxyName: 'proxy',
        dbProxyArn: 'arn:aws:rds:eu-west-1:123456789012:db-proxy:prx-0123456789abcdef0',
        endpoint: 'proxy.example.com',
        securityGroups: [],
      });
      return { database: UserSyncDatabase.fromProxy(proxy), migrations: Migrations.SKIP };
    });
    assert.match(
      warnings(elsewhere.stack).join('\n'),
      /database is the imported proxy Made\/Proxy, and auth is DatabaseAuth\.iam\(\): .* IAM_AUTH, .*; otherwise give auth: DatabaseAuth\.secret/,
    );
  });
});

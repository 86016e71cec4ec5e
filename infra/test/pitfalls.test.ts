/** Deployments that once looked right and were not: each succeeded, and did not work. */
import * as assert from 'node:assert/strict';
import { test } from 'node:test';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as rds from 'aws-cdk-lib/aws-rds';
import { DatabaseAuth, UserSyncDatabase } from '../lib';
import { dist } from './support';
import { Questions } from './template';
import { sync } from './variants';

const code = dist();
const engine = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16_13 });
const aurora = rds.DatabaseClusterEngine.auroraPostgres({
  version: rds.AuroraPostgresEngineVersion.VER_16_13,
});
const stack = (name: string) => new Stack(new App(), name);

test('a cluster that knows no IAM authentication is refused, unless there are passwords', () => {
  const of = (to: Stack) => {
    const vpc = new ec2.Vpc(to, 'Vpc', { natGateways: 1 });
    const writer = rds.ClusterInstance.serverlessV2('writer');
    const cluster = new rds.DatabaseCluster(to, 'Database', { engine: aurora, vpc, writer });
    return { vpc, database: UserSyncDatabase.fromCluster(cluster) };
  };
  const [refused, taken] = [stack('Refused'), stack('Taken')];
  assert.throws(
    () => sync(refused, code, of(refused)),
    /iamAuthentication: true, or auth: DatabaseAuth\.secret\(\)/,
  );
  sync(taken, code, { ...of(taken), auth: DatabaseAuth.secret() });
});

test('a password is rotated at the database itself, not at its proxy', () => {
  const to = stack('Proxy');
  const vpc = new ec2.Vpc(to, 'Vpc', { natGateways: 1 });
  const instance = new rds.DatabaseInstance(to, 'Database', { engine, vpc, storageEncrypted: true });
  // One of this app would have to know the secret before it is generated.
  const proxy = rds.DatabaseProxy.fromDatabaseProxyAttributes(to, 'Proxy', {
    dbProxyName: 'proxy',
    dbProxyArn: 'arn:aws:rds:eu-west-1:123456789012:db-proxy:prx-0123456789abcdef0',
    endpoint: 'proxy.example.com',
    securityGroups: [],
  });
  const behind = UserSyncDatabase.fromInstance(instance);
  const auth = DatabaseAuth.secret({ rotateAfter: Duration.days(30) });
  sync(to, code, { vpc, database: UserSyncDatabase.fromProxy(proxy, { behind }), auth });
  const secret = new Questions(Template.fromStack(to)).properties(
    'AWS::SecretsManager::Secret',
    'SyncLoginsConsumerSecret',
  );
  assert.match(JSON.stringify(secret.GenerateSecretString.SecretStringTemplate), /"Endpoint\.Address"/);
});

test('the migrator ends before the framework that answers CloudFormation for it', () => {
  const to = stack('Framework');
  sync(to, code);
  const questions = new Questions(Template.fromStack(to));
  const framework = questions.properties('AWS::Lambda::Function', 'SyncSchemaProvider');
  assert.ok(questions.function('Schema').Timeout < framework.Timeout);
});

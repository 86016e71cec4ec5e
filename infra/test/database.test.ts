/** Where the tables are, as whom they are used, and what is said when the database refuses rows. */
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { after, describe, test } from 'node:test';
import { App, Aws, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as rds from 'aws-cdk-lib/aws-rds';
import { CognitoUserSyncProps, DatabaseAuth, Migrations, UserSyncCompute, UserSyncDatabase } from '../lib';
import { dist, INFRA } from './support';
import { Questions } from './template';
import { sync } from './variants';

const code = dist();
after(() => fs.rmSync(code, { recursive: true }));

type Changes = Partial<CognitoUserSyncProps>;

/** A stack of its own, by what is changed. */
function made(changes: (stack: Stack) => Changes = () => ({})): Questions {
  const stack = new Stack(new App(), 'Made');
  sync(stack, code, changes(stack));
  return new Questions(Template.fromStack(stack));
}

/** The worker, without Docker. */
const compute = UserSyncCompute.fargate({ image: ecs.ContainerImage.fromRegistry('example/user-sync') });

/** The variables of each function, and of the worker, that has DATABASE_URL. */
function connecting(questions: Questions): Record<string, Record<string, unknown>> {
  const functions = questions.ids('AWS::Lambda::Function').map((id) => {
    const { Environment } = questions.resources[id]!.Properties;
    return [/^Sync(.*)Function/.exec(id)?.[1] ?? id, Environment?.Variables ?? {}] as const;
  });
  const workers = questions.ids('AWS::ECS::TaskDefinition').map((id) => {
    const [{ Environment }] = questions.resources[id]!.Properties.ContainerDefinitions;
    const named = Environment.map(({ Name, Value }: { Name: string; Value: unknown }) => [Name, Value]);
    return ['Worker', Object.fromEntries(named)] as const;
  });
  return Object.fromEntries([...functions, ...workers].filter(([, variables]) => variables.DATABASE_URL));
}

/** What each program that connects has of one variable. */
function having(questions: Questions, variable: string): Record<string, unknown> {
  const found = Object.entries(connecting(questions)).map(([name, variables]) => [name, variables[variable]]);
  return Object.fromEntries(found);
}

const migration = (questions: Questions) => questions.properties('Custom::UserSyncSchema', 'Sync');

/** The logins that a role may connect as. */
const connects = (questions: Questions, role: string) =>
  questions
    .statements(role)
    .filter(({ Action }) => Action === 'rds-db:connect')
    .map(({ Resource }) => /\/(\w+)"/.exec(JSON.stringify(Resource))![1]);

test('without a schema, a prefix and a proxy there is no variable and no property of them', () => {
  for (const questions of [made(), made(() => ({ compute }))]) {
    for (const [name, variables] of Object.entries(connecting(questions))) {
      for (const variable of [
        'USER_SYNC_DATABASE_SCHEMA',
        'USER_SYNC_ROLE_PREFIX',
        'USER_SYNC_PREPARED_STATEMENTS',
      ])
        assert.ok(!(variable in variables), `${name}: ${variable}`);
    }
    const { Schema, RolePrefix, ConsumerUser, ReaderUser } = migration(questions);
    assert.deepEqual([Schema, RolePrefix], [undefined, undefined]);
    assert.deepEqual([ConsumerUser, ReaderUser], ['user_sync_consumer_login', 'user_sync_reader_login']);
  }
});

describe('the schema', () => {
  test('is told to whatever connects, and another one runs the migrations', () => {
    const schema = 'Größe 1';
    const questions = made(() => ({ schema }));
    const expected = { Consumer: schema, Rows: schema, Schema: schema };
    assert.deepEqual(having(questions, 'USER_SYNC_DATABASE_SCHEMA'), expected);
    assert.equal(migration(questions).Schema, schema);
    const worker = made(() => ({ schema, compute, auth: DatabaseAuth.secret() }));
    const withWorker = { Worker: schema, Rows: schema, Schema: schema };
    assert.deepEqual(having(worker, 'USER_SYNC_DATABASE_SCHEMA'), withWorker);
    assert.equal(questions.environment('Trigger').USER_SYNC_DATABASE_SCHEMA, undefined);
  });

  test('has 1 to 63 bytes, and is not one of PostgreSQL’s own', () => {
    for (const schema of ['', 'ö'.repeat(32), 'pg_users', 'information_schema']) {
      const message = new RegExp(
        `schema is ${JSON.stringify(schema)}: it must be 1 to 63 bytes, and not one of PostgreSQL's own`,
      );
      assert.throws(() => made(() => ({ schema })), message);
    }
    for (const schema of ['s'.repeat(63), 'pg', Aws.STACK_NAME]) made(() => ({ schema }));
  });
});

describe('the prefix of roles', () => {
  test('is told to the migrator alone, and another one runs it', () => {
    const questions = made(() => ({ rolePrefix: 'eu_sync' }));
    const expected = { Consumer: undefined, Rows: undefined, Schema: 'eu_sync' };
    assert.deepEqual(having(questions, 'USER_SYNC_ROLE_PREFIX'), expected);
    assert.equal(migration(questions).RolePrefix, 'eu_sync');
  });

  test('is that of the logins too, which IAM is granted for', () => {
    const questions = made(() => ({ rolePrefix: 'eu_sync' }));
    const { ConsumerUser, ReaderUser } = migration(questions);
    assert.deepEqual([ConsumerUser, ReaderUser], ['eu_sync_consumer_login', 'eu_sync_reader_login']);
    assert.deepEqual(connects(questions, 'SyncConsumerFunctionRole'), ['eu_sync_consumer_login']);
    assert.deepEqual(connects(questions, 'SyncRowsFunctionRole'), ['eu_sync_reader_login']);
    const urls = having(questions, 'DATABASE_URL');
    assert.match(JSON.stringify(urls.Consumer), /postgres:\/\/eu_sync_consumer_login@/);
    assert.match(JSON.stringify(urls.Rows), /postgres:\/\/eu_sync_reader_login@/);
    const worker = made(() => ({ rolePrefix: 'eu_sync', compute }));
    assert.deepEqual(connects(worker, 'SyncConsumerTask'), ['eu_sync_consumer_login']);
  });

  test('is that of generated secrets, and not of a login that has a name', () => {
    const auth = DatabaseAuth.secret({ readerUser: 'auditor' });
    const questions = made(() => ({ rolePrefix: 'eu_sync', auth }));
    const [consumer, reader] = ['SyncLoginsConsumerSecret', 'SyncLoginsReaderSecret'].map((id) => {
      const { GenerateSecretString } = questions.properties('AWS::SecretsManager::Secret', id);
      return JSON.stringify(GenerateSecretString.SecretStringTemplate);
    });
    assert.match(consumer!, /\\"username\\":\\"eu_sync_consumer_login\\"/);
    assert.match(reader!, /\\"username\\":\\"auditor\\"/);
    assert.equal(migration(questions).ReaderUser, 'auditor');
  });

  test('is a word that needs no quotes, and leaves room for the names of the logins', () => {
    for (const rolePrefix of ['', 'p'.repeat(49), 'Sync', '1st', 'user-sync', 'pg_sync']) {
      const message = new RegExp(
        `rolePrefix is "${rolePrefix}": it must be 1 to 48 lower-case letters, digits or _`,
      );
      assert.throws(() => made(() => ({ rolePrefix })), message);
    }
    for (const fits of ['_', 'p'.repeat(48), Aws.STACK_NAME]) made(() => ({ rolePrefix: fits }));
  });
});

describe('a proxy', () => {
  function behindProxy(stack: Stack, changes: Changes = {}): Changes {
    const vpc = new ec2.Vpc(stack, 'Vpc', { natGateways: 1 });
    const engine = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16_13 });
    const instance = new rds.DatabaseInstance(stack, 'Database', { engine, vpc, storageEncrypted: true });
    const defaultAuthScheme = rds.DefaultAuthScheme.IAM_AUTH;
    const proxy = instance.addProxy('Proxy', { vpc, defaultAuthScheme });
    const behind = UserSyncDatabase.fromInstance(instance);
    return { vpc, database: UserSyncDatabase.fromProxy(proxy, { behind }), ...changes };
  }

  test('gets statements without a name from all but the migrator, which does not use it', () => {
    const [lambdas, worker] = [made(behindProxy), made((stack) => behindProxy(stack, { compute }))];
    assert.deepEqual(having(lambdas, 'USER_SYNC_PREPARED_STATEMENTS'), {
      Consumer: 'unnamed',
      Rows: 'unnamed',
      Schema: undefined,
    });
    assert.equal(having(worker, 'USER_SYNC_PREPARED_STATEMENTS').Worker, 'unnamed');
  });

  test('gets them where nothing is known behind it', () => {
    const questions = made((stack) => {
      const proxy = rds.DatabaseProxy.fromDatabaseProxyAttributes(stack, 'Proxy', {
        dbProxyName: 'proxy',
        dbProxyArn: 'arn:aws:rds:eu-west-1:123456789012:db-proxy:prx-0123456789abcdef0',
        endpoint: 'proxy.example.com',
        securityGroups: [],
      });
      return { database: UserSyncDatabase.fromProxy(proxy), migrations: Migrations.SKIP };
    });
    const expected = { Consumer: 'unnamed', Rows: 'unnamed' };
    assert.deepEqual(having(questions, 'USER_SYNC_PREPARED_STATEMENTS'), expected);
  });
});

describe('a database that refuses rows', () => {
  const alarm = (questions: Questions) =>
    questions.properties('AWS::CloudWatch::Alarm', 'SyncMonitoringDatabaseMisconfigured');

  test('raises an alarm within minutes, which lasts until a retry has had its time', () => {
    const { Period, EvaluationPeriods, DatapointsToAlarm, ...rest } = alarm(made());
    assert.deepEqual([Period, DatapointsToAlarm], [60, 1]);
    // src/consumer/settle.rs: RETRY_SCHEDULE.
    assert.ok(Period * EvaluationPeriods > 15 * 60);
    assert.deepEqual(
      [rest.Statistic, rest.Threshold, rest.ComparisonOperator],
      ['Sum', 0, 'GreaterThanThreshold'],
    );
    assert.equal(rest.TreatMissingData, 'notBreaching');
    assert.match(rest.AlarmDescription, /`user-sync doctor` names what refuses the rows/);
  });

  test('is counted by whoever consumes, under the cause that the program names', () => {
    const outcome = fs.readFileSync(path.join(INFRA, '..', 'src', 'store', 'outcome.rs'), 'utf8');
    const [, cause] = /Self::DatabaseMisconfigured => "(\w+)"/.exec(outcome)!;
    const [lambdas, worker] = [made(), made(() => ({ compute }))];
    const [consumer] = lambdas.ids('AWS::Lambda::Function', 'SyncConsumerFunction');
    const services = [{ Ref: consumer }, connecting(worker).Worker!.USER_SYNC_EMF_SERVICE];
    for (const [index, questions] of [lambdas, worker].entries()) {
      const { Namespace, MetricName, Dimensions } = alarm(questions);
      assert.deepEqual([Namespace, MetricName], ['UserSync', 'retried']);
      assert.deepEqual(Dimensions, [
        { Name: 'cause', Value: cause },
        { Name: 'service', Value: services[index] },
      ]);
    }
  });
});

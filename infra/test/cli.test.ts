import * as assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { NAMES, readSettings } from '../bin/settings';
import { dist, INFRA } from './support';

const code = dist();

/** Where `make infra` finds the templates, to lint them. */
const OUT = path.join(INFRA, 'cdk.out');

/** The real CLI, without credentials, a profile, a region or a way out. */
async function synth(folder: string, ...args: string[]): Promise<string[]> {
  const output = path.join(OUT, folder);
  fs.rmSync(output, { recursive: true, force: true });
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'user-sync-home-'));
  const closed = 'http://127.0.0.1:9';
  const env = {
    PATH: process.env.PATH!,
    HOME: home,
    HTTPS_PROXY: closed,
    HTTP_PROXY: closed,
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const cdk = path.join(INFRA, 'node_modules', '.bin', 'cdk');
  try {
    await promisify(execFile)(cdk, ['synth', '--quiet', '--strict', '--output', output, ...args], {
      cwd: INFRA,
      env,
    });
  } finally {
    fs.rmSync(home, { recursive: true });
  }
  return fs.readdirSync(output).filter((file) => file.endsWith('.template.json'));
}

/** A file of settings, in a folder of its own. */
function file(settings: object | string): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'user-sync-settings-'));
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  const name = path.join(folder, 'staging.json');
  fs.writeFileSync(name, typeof settings === 'string' ? settings : JSON.stringify(settings));
  return name;
}

const EXAMPLE = JSON.parse(fs.readFileSync(path.join(INFRA, 'user-sync.example.json'), 'utf8'));

/** Every setting that there is, but those that exclude others. */
const FULL = {
  ...EXAMPLE,
  stackName: 'Staging',
  code,
  architecture: 'arm64',
  databasePort: 6_432,
  auth: 'secret',
  schema: 'identity',
  rolePrefix: 'shop',
  attachTriggers: true,
  keepTriggers: true,
  overwriteTriggers: true,
  chainPostConfirmationArn: 'arn:aws:lambda:eu-west-1:123456789012:function:welcome',
  chainPostAuthenticationArn: 'arn:aws:lambda:eu-west-1:123456789012:function:audit',
  smsRoleArn: 'arn:aws:iam::123456789012:role/sms',
  senderKeyArn: 'arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012',
  referralCodeAttribute: 'custom:referral_code',
  lifecycle: true,
  lifecycleConcurrency: 3,
  driftCheckHours: 36,
  retentionDays: 90,
  recordRetentionDays: 60,
  heartbeatMinutes: 10,
  deploymentCheck: true,
  commandTask: true,
  logLevel: 'DEBUG',
  contextQueue: true,
  loginContextCloudTrail: true,
  loginContextLogGroup: '/aws/vendedlogs/cognito/app',
  loginContextClients: ['1example23456789'],
  encryptionKeyArn: 'arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789034',
};

const settings = (given: object | string): string[] => ['-c', `settings=${file(given)}`];

/** What a template of a folder has. */
function made(folder: string, name: string) {
  const text = fs.readFileSync(path.join(OUT, folder, `${name}.template.json`), 'utf8');
  const { Resources, Outputs } = JSON.parse(text);
  const ofType = (type: string): any[] => Object.values<any>(Resources).filter(({ Type }) => Type === type);
  return { text, resources: Resources, outputs: Object.keys(Outputs ?? {}), ofType };
}

/** The variants beside the newest CDK, which has to take them by its types too. The answer is the app. */
async function newest(): Promise<string> {
  const source = path.join(OUT, 'newest', 'source');
  fs.rmSync(source, { recursive: true, force: true });
  for (const part of ['lib', 'test', 'worker'])
    fs.cpSync(path.join(INFRA, part), path.join(source, part), { recursive: true });
  const packages = path.join(INFRA, 'newest', 'node_modules');
  assert.ok(fs.existsSync(packages), 'infra/newest has no packages: make infra-packages, or npm ci there');
  fs.symlinkSync(packages, path.join(source, 'node_modules'));
  const config = { extends: path.join(INFRA, 'tsconfig.json'), include: ['lib', 'test/variants-app.ts'] };
  fs.writeFileSync(path.join(source, 'tsconfig.json'), JSON.stringify(config));
  await promisify(execFile)(path.join(INFRA, 'node_modules', '.bin', 'tsc'), ['-p', source]);
  return path.join(source, 'test', 'variants-app.ts');
}

/**
 * The day from which Lambda calls a runtime deprecated: "Lambda runtimes", AWS Lambda Developer Guide. CDK chooses the one
 * of its own functions, by its version: once that day has come, `peerDependencies` must name a version that chooses another.
 */
const DEPRECATED = {
  'provided.al2023': '2029-06-30',
  'nodejs22.x': '2027-04-30',
  'nodejs24.x': '2028-04-30',
};

const isSupported = (runtime: string): boolean =>
  new Date().toISOString() < ((DEPRECATED as Record<string, string>)[runtime] ?? '');

const QUICKSTART = ['--app', 'npx --no-install tsx bin/quickstart.ts', '-c', `code=${code}`];

describe('cdk synth, offline and without credentials', { concurrency: 2 }, () => {
  test('makes a template of every variant: of the same resources by the oldest CDK that it may be and by the newest', async () => {
    const oldest = await synth('variants', '--app', 'npx --no-install tsx test/variants-app.ts');
    assert.ok(oldest.length >= 18, oldest.join());
    const app = await newest();
    assert.deepEqual(await synth('newest/assembly', '--app', `npx --no-install tsx ${app}`), oldest);
    for (const template of oldest) {
      const name = template.replace('.template.json', '');
      const [older, newer] = ['variants', 'newest/assembly'].map((folder) => made(folder, name).resources);
      const types = (resources: object) =>
        Object.entries<any>(resources)
          .map(([id, { Type }]) => `${id} ${Type}`)
          .sort();
      assert.deepEqual(types(newer), types(older), name);
      for (const { Type, Properties } of Object.values<any>({ ...older, ...newer }))
        if (Type === 'AWS::Lambda::Function')
          assert.ok(isSupported(Properties.Runtime), `${name}: ${Properties.Runtime}`);
    }
  });

  test('makes the quickstart, which a first deployment that fails takes away whole', async () => {
    assert.deepEqual(await synth('quickstart', ...QUICKSTART), ['UserSyncQuickstart.template.json']);
    const { resources, ofType } = made('quickstart', 'UserSyncQuickstart');
    assert.deepEqual([...ofType('AWS::EC2::NatGateway'), ...ofType('AWS::EC2::InternetGateway')], []);
    const [database] = ofType('AWS::RDS::DBInstance');
    const { DeletionProtection = false, PubliclyAccessible = false, ...set } = database.Properties;
    assert.deepEqual([set.StorageEncrypted, set.EnableIAMDatabaseAuthentication], [true, true]);
    assert.deepEqual([set.MultiAZ, PubliclyAccessible, DeletionProtection], [false, false, false]);
    assert.deepEqual([database.DeletionPolicy, set.DeleteAutomatedBackups], ['Delete', true]);
    const [parameters] = ofType('AWS::RDS::DBParameterGroup');
    assert.deepEqual(parameters.Properties.Parameters, { 'rds.force_ssl': '1' });
    const [pool] = ofType('AWS::Cognito::UserPool');
    assert.deepEqual(
      [pool.Properties.DeletionProtection ?? 'INACTIVE', pool.DeletionPolicy],
      ['INACTIVE', 'RetainExceptOnCreate'],
    );
    // What is kept at all is kept of a stack that was made, and of no other.
    const kept = Object.values<any>(resources).map(({ DeletionPolicy }) => DeletionPolicy);
    assert.ok(kept.includes('RetainExceptOnCreate') && !kept.includes('Retain'), kept.join());
  });

  test('refuses what the quickstart does not know', async () => {
    await assert.rejects(
      synth('unknown', ...QUICKSTART, '-c', 'multiaz=true'),
      /the quickstart has no multiaz: -c takes stackName, .*multiAz/,
    );
  });

  test('protects the quickstart in a second step, under the name of its environment', async () => {
    const context = ['-c', 'stackName=Trial', '-c', 'protect=true', '-c', 'multiAz=true'];
    assert.deepEqual(await synth('protected', ...QUICKSTART, ...context), ['Trial.template.json']);
    const { ofType } = made('protected', 'Trial');
    const [database] = ofType('AWS::RDS::DBInstance');
    assert.deepEqual(
      [database.Properties.DeletionProtection, database.Properties.MultiAZ, database.DeletionPolicy],
      [true, true, 'Snapshot'],
    );
    assert.equal(database.Properties.DeleteAutomatedBackups, false);
    const [pool] = ofType('AWS::Cognito::UserPool');
    assert.equal(pool.Properties.DeletionProtection, 'ACTIVE');
    await assert.rejects(
      synth('refused', ...QUICKSTART, '-c', 'protect=yes'),
      /protect is "yes": it must be true or false: -c protect=true/,
    );
  });

  test('makes what the example of settings says, with the outputs that the runbook lists', async () => {
    assert.deepEqual(await synth('adopt', ...settings({ ...EXAMPLE, code })), ['UserSync.template.json']);
    const { outputs, text } = made('adopt', 'UserSync');
    const runbook = fs.readFileSync(path.join(INFRA, '..', 'docs', 'runbook.md'), 'utf8');
    const [, listed] = /list these as outputs: (.*?)\. In a stack/.exec(runbook)!;
    const [last, ...whole] = [...listed!.matchAll(/`(\w+)`/g)].map(([, name]) => name!).reverse();
    assert.ok(whole.length > 4 && whole.every((name) => outputs.includes(name)), outputs.join());
    assert.equal(last, 'TriggersParameterName');
    assert.ok(!text.includes('keep-triggers'));
    const manifest = fs.readFileSync(path.join(OUT, 'adopt', 'manifest.json'), 'utf8');
    assert.ok(manifest.includes('aws://123456789012/eu-west-1'));
  });

  test('makes what every setting says', async () => {
    assert.deepEqual(Object.keys(FULL).sort(), [...NAMES].sort());
    assert.deepEqual(await synth('full', ...settings(FULL)), ['Staging.template.json']);
    const { outputs, text, ofType } = made('full', 'Staging');
    assert.ok(
      outputs.some((name) => name.includes('TriggersParameterName')),
      outputs.join(),
    );
    for (const command of ['Doctor', 'Verify', 'Reconcile', 'Dlq'])
      assert.ok(
        outputs.some((name) => name.includes(`Command${command}`)),
        command,
      );
    assert.equal(ofType('Custom::UserSyncDeploymentCheck').length, 1);
    const { Properties } = ofType('Custom::UserSyncPoolTriggers')[0];
    assert.equal(Properties.Overwrite, 'true');
    const said = JSON.stringify(Properties);
    for (const part of [
      'function:welcome',
      'function:audit',
      '"identity"',
      'shop_consumer_login',
      '6432',
      'role/sms',
      'key/12345678-1234-1234-1234-123456789012',
      'key/12345678-1234-1234-1234-123456789034',
      'custom:referral_code',
      '"keep-triggers"',
      '1example23456789',
      'vendedlogs/cognito/app',
      'rate(36 hours)',
      'rate(10 minutes)',
      '"USER_SYNC_LOG": "debug"',
    ])
      assert.ok(text.includes(part), part);
    assert.ok(said.includes('function:welcome'));
    const maintained = ofType('AWS::Events::Rule').find((rule) =>
      JSON.stringify(rule).includes('retentionDays'),
    );
    assert.match(JSON.stringify(maintained), /retentionDays\\":90/);
    assert.ok(
      ofType('AWS::Lambda::Function').some((made) => made.Properties.ReservedConcurrentExecutions === 3),
    );
    assert.ok(ofType('AWS::Lambda::Function').some((made) => made.Properties.Architectures?.[0] === 'arm64'));
  });
});

describe('settings that cannot be', () => {
  const { stackName: _, vpcId: __, ...unnamed } = EXAMPLE;
  const { databaseResourceId: ___, ...withoutId } = EXAMPLE;
  const CASES: [string, object | string, RegExp[]][] = [
    ['are no JSON', '{ "stackName": ', [/staging\.json is no JSON: /]],
    ['are no object', '[]', [/staging\.json is no JSON object: user-sync\.example\.json shows one/]],
    [
      'are missing',
      unnamed,
      [
        /staging\.json: stackName is missing: add "stackName", a name of letters/,
        /staging\.json: vpcId is missing: add "vpcId", the id of the VPC, such as "vpc-0123456789abcdef0"; infra\/README\.md/,
      ],
    ],
    [
      'have an unknown key',
      { ...EXAMPLE, vpcid: 'vpc-1', colour: 'blue' },
      [
        /staging\.json: vpcid is "vpc-1", and there is no such key: write vpcId/,
        /colour is "blue", and there is no such key: take it out/,
      ],
    ],
    ['have a key of every object', { ...EXAMPLE, toString: 1 }, [/toString is 1, and there is no such key/]],
    [
      'are of the wrong type',
      {
        ...EXAMPLE,
        account: 123456789012,
        subnetIds: 'subnet-0,subnet-1',
        availabilityZones: [],
        databasePort: '5432',
        keepTriggers: 'yes',
        auth: 'password',
        adminSecretArn: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:admin',
        schema: null,
      },
      [
        /account is 123456789012: it must be the 12 digits of the AWS account, in quotes/,
        /subnetIds is "subnet-0,subnet-1": it must be a list, each of it the id of a subnet/,
        /availabilityZones is \[\]: it must be a list/,
        /databasePort is "5432": it must be a whole number from 1 to 65535, without quotes/,
        /keepTriggers is "yes": it must be true or false, without quotes/,
        /auth is "password": it must be "iam" or "secret"/,
        /adminSecretArn is ".*:admin": it must be the complete ARN of a secret/,
        /schema is null: it must be a text/,
      ],
    ],
    [
      'say nothing without another',
      {
        ...EXAMPLE,
        attachTriggers: false,
        keepTriggers: true,
        loginContextClients: ['1a'],
        adminSecretArn: undefined,
        retentionDays: 90,
      },
      [
        /keepTriggers is true, and says nothing unless attachTriggers is true or left out/,
        /retentionDays is 90, and says nothing unless adminSecretArn is there: else say it where you run/,
        /loginContextClients is \["1a"\], and says nothing unless loginContextCloudTrail or loginContextLogGroup is true/,
      ],
    ],
    [
      'leave IAM without an id',
      withoutId,
      [/databaseResourceId is missing, and IAM .*: add .*, or "auth": "secret"/],
    ],
  ];
  for (const [title, given, messages] of CASES) {
    test(`${title}: refused with the file, the key, the value and what to do`, () => {
      for (const message of messages) assert.throws(() => readSettings(file(given)), message);
    });
  }

  test('with a password need no id of the database', () => {
    readSettings(file({ ...withoutId, auth: 'secret' }));
  });

  test('are refused by the app, in a command too, where git would not keep them', async () => {
    await assert.rejects(synth('refused', ...settings(unnamed)), /staging\.json: vpcId is missing/);
    await assert.rejects(
      synth('refused', '-c', 'settings=nowhere.json'),
      /there is no nowhere\.json: copy user-sync\.example\.json to it, fill it in and commit it, or name another/,
    );
    await assert.rejects(
      synth('refused', ...settings(EXAMPLE), '-c', 'vpcId=vpc-1'),
      /vpcId is in the context, which is not read: write it into .*staging\.json/,
    );
    fs.rmSync(path.join(OUT, 'refused'), { recursive: true, force: true });
  });

  test('are all in infra/README.md', () => {
    const readme = fs.readFileSync(path.join(INFRA, 'README.md'), 'utf8');
    const [, table] = /\| setting \| meaning \|\n([^]*?)\n\n/.exec(readme)!;
    const keys = table!.split('\n').flatMap((row) => [...row.split('|')[1]!.matchAll(/`(\w+)`/g)]);
    assert.deepEqual(keys.map(([, key]) => key).sort(), [...NAMES].sort());
  });
});

import * as assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
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

const ADOPTED = {
  userPoolId: 'eu-west-1_Abc123Def',
  vpcId: 'vpc-0123456789abcdef0',
  availabilityZones: 'eu-west-1a, eu-west-1b',
  subnetIds: 'subnet-0123456789abcdef0, subnet-0123456789abcdef1',
  databaseHost: 'db.example.eu-west-1.rds.amazonaws.com',
  databaseName: 'app',
  databaseResourceId: 'db-ABC',
  databaseSecurityGroupId: 'sg-0123456789abcdef0',
  schema: 'identity',
  rolePrefix: 'shop',
  adminSecretArn: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:admin-AbCdEf',
  chainPostConfirmationArn: 'arn:aws:lambda:eu-west-1:123456789012:function:welcome',
  keepTriggers: 'true',
  alarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:alarms',
};

const context = (values: Record<string, string>): string[] =>
  Object.entries({ code, ...values }).flatMap(([key, value]) => ['-c', `${key}=${value}`]);

describe('cdk synth, offline and without credentials', { concurrency: 2 }, () => {
  test('makes a template of every variant', async () => {
    const made = await synth('variants', '--app', 'npx --no-install tsx test/variants-app.ts');
    assert.ok(made.length >= 18, made.join());
  });

  test('makes the quickstart', async () => {
    assert.deepEqual(await synth('quickstart', ...context({})), ['UserSyncQuickstart.template.json']);
    const template = fs.readFileSync(
      path.join(OUT, 'quickstart', 'UserSyncQuickstart.template.json'),
      'utf8',
    );
    const { Resources } = JSON.parse(template);
    const types = Object.values<{ Type: string }>(Resources).map(({ Type }) => Type);
    assert.ok(!types.includes('AWS::EC2::NatGateway') && !types.includes('AWS::EC2::InternetGateway'));
    const one = (type: string) =>
      Object.values<{ Type: string; Properties: any }>(Resources).find(({ Type }) => Type === type)!
        .Properties;
    const database = one('AWS::RDS::DBInstance');
    assert.equal(database.StorageEncrypted, true);
    assert.equal(database.EnableIAMDatabaseAuthentication, true);
    assert.equal(database.DeletionProtection, true);
    assert.equal(database.PubliclyAccessible ?? false, false);
    assert.deepEqual(one('AWS::RDS::DBParameterGroup').Parameters, { 'rds.force_ssl': '1' });
  });

  test('makes the adoption of what the context names', async () => {
    assert.deepEqual(await synth('adopt', ...context(ADOPTED)), ['UserSync.template.json']);
    const template = fs.readFileSync(path.join(OUT, 'adopt', 'UserSync.template.json'), 'utf8');
    assert.ok(template.includes('"keep-triggers"'));
    const runbook = fs.readFileSync(path.join(INFRA, '..', 'docs', 'runbook.md'), 'utf8');
    const [, listed] = /list these as outputs: (.*?)\. In a stack/.exec(runbook)!;
    const outputs = Object.keys(JSON.parse(template).Outputs);
    const [last, ...whole] = [...listed!.matchAll(/`(\w+)`/g)].map(([, name]) => name!).reverse();
    assert.ok(whole.length > 4 && whole.every((name) => outputs.includes(name)), outputs.join());
    assert.ok(
      outputs.some((name) => name.includes(last!)),
      outputs.join(),
    );
  });

  test('says which key of the context is missing', async () => {
    const { vpcId: _, ...rest } = ADOPTED;
    await assert.rejects(synth('refused', ...context(rest)), /the context has no vpcId: say -c vpcId=/);
    const { databaseResourceId: __, ...unnamed } = ADOPTED;
    await assert.rejects(synth('refused', ...context(unnamed)), /the context has no databaseResourceId/);
    await assert.rejects(
      synth('refused', ...context({ ...ADOPTED, databasePort: 'many' })),
      /databasePort is "many"/,
    );
    await assert.rejects(
      synth('refused', ...context({ ...ADOPTED, keepTriggers: 'yes' })),
      /keepTriggers is "yes": it must be true or false/,
    );
    fs.rmSync(path.join(OUT, 'refused'), { recursive: true, force: true });
  });
});

/** The app: `UserSync` beside what is there, or `UserSyncQuickstart` from nothing. */
import { App } from 'aws-cdk-lib';
import { Adopt } from './adopt';
import { Quickstart } from './quickstart';

const app = new App();

function optional(key: string): string | undefined {
  const value: unknown = app.node.tryGetContext(key);
  return value === undefined || value === '' ? undefined : String(value);
}

function required(key: string): string {
  const value = optional(key);
  if (value === undefined)
    throw new Error(`UserSync: the context has no ${key}: say -c ${key}=…; infra/README.md has all keys`);
  return value;
}

const list = (key: string): string[] =>
  required(key)
    .split(',')
    .map((item) => item.trim());

function port(): number | undefined {
  const text = optional('databasePort');
  if (text === undefined) return undefined;
  const given = Number(text);
  if (Number.isInteger(given) && given >= 1 && given <= 65_535) return given;
  throw new Error(`UserSync: databasePort is "${text}": it must be a whole number from 1 to 65535`);
}

function flag(key: string): boolean {
  const text = optional(key) ?? 'false';
  if (text === 'true' || text === 'false') return text === 'true';
  throw new Error(`UserSync: ${key} is "${text}": it must be true or false`);
}

const code = optional('code');
const alarmTopicArn = optional('alarmTopicArn');

// Whoever names a pool has one to adopt.
if (optional('userPoolId') === undefined) {
  new Quickstart(app, 'UserSyncQuickstart', {
    code,
    alarmTopicArn,
    description: 'A user pool, a database, and every user as a row in it',
  });
} else {
  new Adopt(app, 'UserSync', {
    code,
    description: 'Every user of a user pool as a row in your PostgreSQL',
    userPoolId: required('userPoolId'),
    vpcId: required('vpcId'),
    availabilityZones: list('availabilityZones'),
    subnetIds: list('subnetIds'),
    databaseHost: required('databaseHost'),
    databaseName: required('databaseName'),
    databasePort: port(),
    databaseResourceId: required('databaseResourceId'),
    databaseSecurityGroupId: optional('databaseSecurityGroupId'),
    schema: optional('schema'),
    rolePrefix: optional('rolePrefix'),
    adminSecretArn: optional('adminSecretArn'),
    chainPostConfirmationArn: optional('chainPostConfirmationArn'),
    chainPostAuthenticationArn: optional('chainPostAuthenticationArn'),
    keepTriggers: flag('keepTriggers'),
    alarmTopicArn,
  });
}

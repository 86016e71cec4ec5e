/** Reads a file of settings: what one environment is. Knows nothing of what is made of them. */
import * as fs from 'node:fs';

/** What a setting may be: how it is read, and in words. */
interface Kind<T> {
  readonly read: (given: unknown) => T | undefined;
  readonly is: string;
}

const text = (pattern: RegExp, is: string): Kind<string> => ({
  read: (given) => (typeof given === 'string' && pattern.test(given) ? given : undefined),
  is,
});
const list = ({ read, is }: Kind<string>): Kind<string[]> => ({
  read: (given) =>
    Array.isArray(given) && given.length > 0 && given.every((one) => read(one) !== undefined)
      ? given
      : undefined,
  is: `a list, each of it ${is}`,
});
const flag: Kind<boolean> = {
  read: (given) => (typeof given === 'boolean' ? given : undefined),
  is: 'true or false, without quotes',
};
const whole = (min: number, max: number): Kind<number> => ({
  read: (given) =>
    Number.isInteger(given) && Number(given) >= min && Number(given) <= max ? Number(given) : undefined,
  is: `a whole number from ${min} to ${max}, without quotes`,
});
const oneOf = <T extends string>(...values: T[]): Kind<T> => ({
  read: (given) => values.find((value) => value === given),
  is: values.map((value) => `"${value}"`).join(' or '),
});
const arn = (service: string, what: string): Kind<string> =>
  text(
    new RegExp(`^arn:aws[a-z-]*:${service}:[a-z0-9-]*:\\d{12}:.+$`),
    `the ARN of ${what}, such as "arn:aws:${service}:…"`,
  );
const key = text(
  /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/(mrk-)?[0-9a-f-]{32,36}$/,
  'the ARN of a key, such as "arn:aws:kms:…:key/…", and not of an alias',
);
const any = text(/./, 'a text that is not empty');

/** The settings that every environment has. */
const REQUIRED = {
  stackName: text(
    /^[A-Za-z][A-Za-z0-9-]{0,127}$/,
    'a name of letters, digits and hyphens, one for each environment, such as "UserSync"',
  ),
  account: text(/^\d{12}$/, 'the 12 digits of the AWS account, in quotes'),
  region: text(/^[a-z]{2}(-[a-z]+)+-\d$/, 'a Region, such as "eu-west-1"'),
  userPoolId: text(/^[a-z0-9-]+_[A-Za-z0-9]+$/, 'the id of a user pool, such as "eu-west-1_Abc123Def"'),
  vpcId: text(/^vpc-[0-9a-f]+$/, 'the id of the VPC, such as "vpc-0123456789abcdef0"'),
  availabilityZones: list(text(/^[a-z0-9-]+$/, 'the zone of one of the subnets, such as "eu-west-1a"')),
  subnetIds: list(text(/^subnet-[0-9a-f]+$/, 'the id of a subnet, such as "subnet-0123456789abcdef0"')),
  databaseHost: text(/^[A-Za-z0-9.-]+$/, "the database's host, as RDS names it"),
  databaseName: any,
};

/** The settings that an environment may have. */
const OPTIONAL = {
  code: any,
  architecture: oneOf('x86_64', 'arm64'),
  databasePort: whole(1, 65_535),
  databaseResourceId: text(
    /^(db|cluster|prx)-[A-Za-z0-9]+$/,
    'the resource id of the database, such as "db-ABC" or "cluster-ABC"',
  ),
  databaseSecurityGroupId: text(
    /^sg-[0-9a-f]+$/,
    'the id of a security group, such as "sg-0123456789abcdef0"',
  ),
  auth: oneOf('iam', 'secret'),
  schema: any,
  rolePrefix: any,
  adminSecretArn: text(
    /^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+-[A-Za-z0-9]{6}$/,
    'the complete ARN of a secret, with the six characters at its end',
  ),
  attachTriggers: flag,
  keepTriggers: flag,
  overwriteTriggers: flag,
  chainPostConfirmationArn: arn('lambda', 'a function'),
  chainPostAuthenticationArn: arn('lambda', 'a function'),
  smsRoleArn: arn('iam', 'a role'),
  senderKeyArn: key,
  referralCodeAttribute: any,
  lifecycle: flag,
  lifecycleConcurrency: whole(1, 100),
  driftCheckHours: whole(0, 72),
  retentionDays: whole(31, 3_650),
  recordRetentionDays: whole(31, 3_650),
  heartbeatMinutes: whole(1, 60),
  deploymentCheck: flag,
  commandTask: flag,
  logLevel: oneOf('TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR'),
  contextQueue: flag,
  loginContextCloudTrail: flag,
  loginContextLogGroup: any,
  loginContextClients: list(text(/^[a-z0-9]{1,128}$/, 'the id of an app client, such as "1example23456789"')),
  encryptionKeyArn: key,
  alarmTopicArn: arn('sns', 'a topic'),
};

const KEYS: Record<string, Kind<unknown>> = { ...REQUIRED, ...OPTIONAL };

type Values<T> = { readonly [K in keyof T]: T[K] extends Kind<infer V> ? V : never };

/** One environment, as its file says. */
export type Settings = Values<typeof REQUIRED> & Partial<Values<typeof OPTIONAL>>;

/** The names of all settings. */
export const NAMES = Object.keys(KEYS);

const ATTACHES = [
  'attachTriggers',
  (s: Partial<Settings>) => s.attachTriggers !== false,
  'true or left out',
] as const;
const READS = [
  'loginContextCloudTrail or loginContextLogGroup',
  (s: Partial<Settings>) => s.loginContextCloudTrail === true || s.loginContextLogGroup !== undefined,
  'true or the name of a log group',
] as const;

const MIGRATES = [
  'adminSecretArn',
  (s: Partial<Settings>) => s.adminSecretArn !== undefined,
  'there: else say it where you run `user-sync maintain`',
] as const;

/** A setting that says nothing without another: which other, whether it is there, and what it must be. */
const NEEDS: Record<string, readonly [string, (settings: Partial<Settings>) => boolean, string]> = {
  keepTriggers: ATTACHES,
  overwriteTriggers: ATTACHES,
  chainPostConfirmationArn: ATTACHES,
  chainPostAuthenticationArn: ATTACHES,
  smsRoleArn: ATTACHES,
  senderKeyArn: ATTACHES,
  loginContextClients: READS,
  retentionDays: MIGRATES,
  recordRetentionDays: MIGRATES,
};

/** Reads a file. Fails with all that is wrong in it: which file, key and value, and what to do. */
export function readSettings(file: string): Settings {
  const given = parsed(file);
  const wrong: string[] = [];
  const say = (key: string, what: string): number =>
    wrong.push(`${file}: ${key} ${what}; infra/README.md has all keys`);
  for (const [key, value] of Object.entries(given)) {
    const kind = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    const shown = JSON.stringify(value);
    if (!kind) say(key, `is ${shown}, and there is no such key: ${instead(key)}`);
    else if (kind.read(value) === undefined) say(key, `is ${shown}: it must be ${kind.is}`);
  }
  for (const [key, { is }] of Object.entries(REQUIRED)) {
    if (given[key] === undefined) say(key, `is missing: add "${key}", ${is}`);
  }
  const settings = given as unknown as Settings;
  if (settings.auth !== 'secret' && settings.databaseResourceId === undefined) {
    const { is } = OPTIONAL.databaseResourceId;
    say('databaseResourceId', `is missing, and IAM authentication needs it: add ${is}, or "auth": "secret"`);
  }
  for (const [key, [other, isThere, must]] of Object.entries(NEEDS)) {
    if (given[key] !== undefined && !isThere(settings))
      say(key, `is ${JSON.stringify(given[key])}, and says nothing unless ${other} is ${must}`);
  }
  if (wrong.length > 0) throw new Error(`UserSync: ${wrong.join('\nUserSync: ')}`);
  return settings;
}

function parsed(file: string): Record<string, unknown> {
  let content: string;
  try {
    content = fs.readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw error;
    throw new Error(
      `UserSync: there is no ${file}: copy user-sync.example.json to it, fill it in and commit it, or name another ` +
        'file by -c settings=FILE',
    );
  }
  let given: unknown;
  try {
    given = JSON.parse(content);
  } catch (error) {
    throw new Error(`UserSync: ${file} is no JSON: ${(error as Error).message}`);
  }
  if (typeof given === 'object' && given !== null && !Array.isArray(given))
    return given as Record<string, unknown>;
  throw new Error(`UserSync: ${file} is no JSON object: user-sync.example.json shows one`);
}

/** What may have been meant by a key that there is not. */
function instead(key: string): string {
  const plain = (name: string) => name.toLowerCase().replace(/[^a-z]/g, '');
  const meant = NAMES.find((name) => plain(name) === plain(key));
  return meant ? `write ${meant}` : 'take it out';
}

/** The app of the quickstart, which is deployed on request only: `npm run quickstart -- deploy`. */
import { App } from 'aws-cdk-lib';
import { Quickstart } from './quickstart-stack';

const app = new App();

/** What may be said of it; CDK's own keys have a colon. */
const KEYS = ['stackName', 'code', 'alarmTopicArn', 'protect', 'multiAz', 'userSyncDeployment'];

const unknown = Object.keys(app.node.getAllContext()).filter(
  (key) => !key.includes(':') && !KEYS.includes(key),
);
if (unknown.length > 0)
  throw new Error(`UserSync: the quickstart has no ${unknown.join(', ')}: -c takes ${KEYS.join(', ')}`);

function said(key: string): string | undefined {
  const value: unknown = app.node.tryGetContext(key);
  return value === undefined || value === '' ? undefined : String(value);
}

function flag(key: string): boolean {
  const value = said(key) ?? 'false';
  if (value === 'true' || value === 'false') return value === 'true';
  throw new Error(`UserSync: ${key} is "${value}": it must be true or false: -c ${key}=true`);
}

new Quickstart(app, said('stackName') ?? 'UserSyncQuickstart', {
  description: 'A user pool, a database, and every user as a row in it',
  code: said('code'),
  alarmTopicArn: said('alarmTopicArn'),
  protect: flag('protect'),
  multiAz: flag('multiAz'),
});

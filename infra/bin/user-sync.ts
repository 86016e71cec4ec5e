/** The app: the stack of one environment, beside a pool, a network and a database that are there. */
import { App } from 'aws-cdk-lib';
import { NAMES, readSettings } from './settings';
import { UserSyncStack } from './user-sync-stack';

const app = new App();
const named: unknown = app.node.tryGetContext('settings');
const file = named === undefined ? 'user-sync.json' : String(named);
for (const key of NAMES) {
  // Git does not keep what stands in a command.
  if (app.node.tryGetContext(key) !== undefined)
    throw new Error(`UserSync: ${key} is in the context, which is not read: write it into ${file}`);
}
const settings = readSettings(file);
new UserSyncStack(app, settings.stackName, settings);

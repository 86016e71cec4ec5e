/** Other deployments of the same app, which may share a database, but no tables and no roles. */
import { Stack } from 'aws-cdk-lib';
import { Construct, IConstruct } from 'constructs';
import { CognitoUserSyncProps } from './props';

/** Where one deployment has its tables and roles. */
interface Place {
  readonly path: string;
  readonly server: string;
  readonly databaseName: string;
  readonly schema: string;
  readonly rolePrefix: string;
}

/** The places of each app. */
const places = new WeakMap<IConstruct, Place[]>();

/** Fails where another deployment of the app has the same tables, or the same roles: each would take the other's. */
export function refuseSharedDatabase(scope: Construct, props: CognitoUserSyncProps): void {
  const { database, databaseName, schema = 'public', rolePrefix = 'user_sync' } = props;
  const { host, port } = database.owner;
  // A host that is written down may be another server in another account.
  const server = `${Stack.of(scope).environment} ${host}:${port}`;
  const { root, path } = scope.node;
  const known = places.get(root) ?? [];
  for (const other of known.filter((place) => place.server === server)) {
    if (other.databaseName === databaseName && other.schema === schema)
      throw new Error(
        `CognitoUserSync: schema is ${JSON.stringify(schema)}, where ${other.path} has its tables in the same database: ` +
          'give one of them another schema and another rolePrefix',
      );
    if (other.rolePrefix === rolePrefix)
      throw new Error(
        `CognitoUserSync: rolePrefix is ${JSON.stringify(rolePrefix)}, which ${other.path} has on the same server, and roles ` +
          'belong to the whole server: give one of them another rolePrefix',
      );
  }
  places.set(root, [...known, { path, server, databaseName, schema, rolePrefix }]);
}

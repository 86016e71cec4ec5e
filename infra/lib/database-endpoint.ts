/** Where a database answers, and who may log in there; must know no construct of ours. */
import { Aws, Resource, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct, IConstruct, IDependable } from 'constructs';
import { DatabaseAttributes } from './database';

/** What all kinds of databases have. */
export interface DatabaseEndpoint {
  readonly host: string;
  readonly port: number;

  /** Its security groups, if they are known. */
  readonly connections?: ec2.Connections;

  /** The owner's credentials, in RDS's JSON form. */
  readonly adminSecret?: secretsmanager.ISecret;

  /** What must be there before anybody connects. */
  readonly dependencies: IDependable[];

  /** Whether connections are shared, a transaction at a time. */
  readonly isProxy: boolean;

  /** Permits to log in as one user by IAM authentication; fails where nobody could. */
  connect(grantee: iam.IGrantable, user: string): iam.Grant;

  /** Fails where nobody could log in by the passwords of these secrets; a secret that is generated is `undefined`. */
  checkSecrets?(given: (secretsmanager.ISecret | undefined)[]): void;

  /** Warns of what cannot be seen from here, and must be so for IAM authentication. */
  warnOfIam?(scope: Construct): void;
}

/** An error about the database, with what to do. */
export function databaseError(what: string, remedy: string): Error {
  return new Error(`CognitoUserSync: database is ${what}: ${remedy}`);
}

/** The endpoint of an instance. */
export function ofInstance(
  instance: rds.IDatabaseInstance,
  given?: secretsmanager.ISecret,
): DatabaseEndpoint {
  const made = instance.node.defaultChild;
  const isReplica = made instanceof rds.CfnDBInstance && made.sourceDbInstanceIdentifier !== undefined;
  if (isReplica || instance instanceof rds.DatabaseInstanceReadReplica) {
    throw databaseError(
      `the read replica ${instance.node.path}`,
      'nothing can be written to it: give UserSyncDatabase.fromInstance its source',
    );
  }
  return {
    host: instance.instanceEndpoint.hostname,
    port: instance.instanceEndpoint.port,
    connections: known(instance.connections),
    // That of a restored instance, too.
    adminSecret: given ?? managed(instance, made) ?? (instance as Partial<rds.DatabaseInstance>).secret,
    isProxy: false,
    dependencies: [instance],
    connect: (grantee, user) => {
      if (instance.instanceResourceId === undefined) {
        throw databaseError(
          `the imported instance ${instance.node.path} without instanceResourceId`,
          'IAM authentication is granted by it: give instanceResourceId ("db-…") to ' +
            'DatabaseInstance.fromDatabaseInstanceAttributes, or auth: DatabaseAuth.secret()',
        );
      }
      if (made instanceof rds.CfnDBInstance && hasNoIam(made)) {
        throw databaseError(
          `an instance with iamAuthentication: false (${instance.node.path})`,
          'nobody could log in by IAM: give the instance iamAuthentication: true, or auth: DatabaseAuth.secret()',
        );
      }
      return instance.grantConnect(grantee, user);
    },
  };
}

/** The endpoint of a cluster, where its writer answers. */
export function ofCluster(cluster: rds.IDatabaseCluster, given?: secretsmanager.ISecret): DatabaseEndpoint {
  const made = cluster.node.defaultChild;
  if (made instanceof rds.CfnDBCluster && made.replicationSourceIdentifier !== undefined) {
    throw databaseError(
      `the cluster ${cluster.node.path} with replicationSourceIdentifier: a read replica`,
      'nothing can be written to it: give UserSyncDatabase.fromCluster its source',
    );
  }
  const { hostname, port } = imported(
    cluster,
    () => cluster.clusterEndpoint,
    'clusterEndpointAddress and port',
    'that is where the sync connects: give them to DatabaseCluster.fromDatabaseClusterAttributes',
  );
  return {
    host: hostname,
    port,
    connections: known(cluster.connections),
    adminSecret: given ?? clusterSecret(cluster),
    isProxy: false,
    // The cluster's endpoint is there before an instance answers behind it.
    dependencies: [cluster],
    connect: (grantee, user) => {
      // Of an instance CDK switches it on, of a cluster it does not.
      if (made instanceof rds.CfnDBCluster && !made.enableIamDatabaseAuthentication) {
        throw databaseError(
          `a cluster without IAM authentication (${cluster.node.path})`,
          'nobody could log in by it: give the cluster iamAuthentication: true, or auth: DatabaseAuth.secret()',
        );
      }
      imported(
        cluster,
        () => cluster.clusterResourceIdentifier,
        'clusterResourceIdentifier',
        'IAM authentication is granted by it: give clusterResourceIdentifier ("cluster-…") to ' +
          'DatabaseCluster.fromDatabaseClusterAttributes, or auth: DatabaseAuth.secret()',
      );
      return cluster.grantConnect(grantee, user);
    },
  };
}

/** The endpoint of what this app knows by its host name only. */
export function ofAttributes(attributes: DatabaseAttributes): DatabaseEndpoint {
  const { host, port, securityGroup, resourceId, adminSecret, pooled } = attributes;
  return {
    host,
    port: port ?? 5432,
    connections: securityGroup && new ec2.Connections({ securityGroups: [securityGroup] }),
    adminSecret,
    isProxy: pooled ?? resourceId?.startsWith('prx-') ?? false,
    dependencies: [],
    connect: (grantee, user) => {
      if (resourceId === undefined) {
        throw databaseError(
          `${host} without resourceId`,
          'IAM authentication is granted by it: give resourceId to UserSyncDatabase.fromAttributes, ' +
            'or auth: DatabaseAuth.secret()',
        );
      }
      // "Creating and using an IAM policy for IAM database access", Amazon RDS User Guide.
      const arn = `arn:${Aws.PARTITION}:rds-db:${Aws.REGION}:${Aws.ACCOUNT_ID}:dbuser:${resourceId}/${user}`;
      return iam.Grant.addToPrincipal({ grantee, actions: ['rds-db:connect'], resourceArns: [arn] });
    },
  };
}

/** Whether it is switched off, and not only left open: CDK switches it on where somebody is to log in by it. */
function hasNoIam(instance: rds.CfnDBInstance): boolean {
  return Stack.of(instance).resolve(instance.enableIamDatabaseAuthentication) === false;
}

/** Groups that are known. An imported instance may have none, and then nobody would be let out to it. */
function known(connections: ec2.Connections): ec2.Connections | undefined {
  return connections.securityGroups.length > 0 ? connections : undefined;
}

/** The secret of a password that RDS manages, also where it is told so by the resource of CloudFormation. */
function managed(scope: Construct, made?: IConstruct): secretsmanager.ISecret | undefined {
  if (!(made instanceof rds.CfnDBInstance || made instanceof rds.CfnDBCluster)) return undefined;
  if (made.manageMasterUserPassword !== true) return undefined;
  // A newer CDK knows it, with its key; a secret that CDK made has not the password that RDS manages.
  const { secret } = scope as Partial<rds.DatabaseInstance>;
  if (secret && !Resource.isOwnedResource(secret)) return secret;
  const id = 'UserSyncOwner';
  const imported = scope.node.tryFindChild(id) as secretsmanager.ISecret | undefined;
  return (
    imported ??
    secretsmanager.Secret.fromSecretAttributes(scope, id, {
      secretCompleteArn: made.attrMasterUserSecretSecretArn,
      encryptionKey: managedKey(scope, made),
    })
  );
}

/** The key of such a secret, if it is not AWS's, which everybody may use who may read the secret. */
function managedKey(scope: Construct, made: rds.CfnDBInstance | rds.CfnDBCluster): kms.IKey | undefined {
  const stack = Stack.of(scope);
  const given = stack.resolve(made.masterUserSecret)?.kmsKeyId;
  if (given === undefined || /^(|.*:)alias\/aws\/secretsmanager$/.test(given)) return undefined;
  const { kmsKeyId } = made.masterUserSecret as rds.CfnDBInstance.MasterUserSecretProperty;
  const isArn =
    typeof given === 'string' ? /^arn:[^:]+:kms:.*:key\//.test(given) : given['Fn::GetAtt']?.[1] === 'Arn';
  if (isArn) return kms.Key.fromKeyArn(scope, 'UserSyncOwnerKey', kmsKeyId!);
  throw databaseError(
    `${scope.node.path} with masterUserSecret.kmsKeyId: ${JSON.stringify(given)}`,
    "the migrator must be permitted to use that key: give the key's ARN, or adminSecret by Secret.fromSecretAttributes " +
      'with its encryptionKey',
  );
}

/**
 * The secret of a cluster that was made in this app. Of one that was restored CDK may have made a secret whose password the
 * cluster does not have ("generatedCredsNotApplied").
 */
function clusterSecret(cluster: rds.IDatabaseCluster): secretsmanager.ISecret | undefined {
  const { secret } = cluster as Partial<rds.DatabaseCluster>;
  const made = cluster.node.defaultChild;
  const ofRds = managed(cluster, made);
  if (ofRds) return ofRds;
  const isRestored = made instanceof rds.CfnDBCluster && made.snapshotIdentifier !== undefined;
  if (!isRestored || made.masterUserPassword !== undefined) return secret;
  return cluster.node.children.some((child) => child instanceof rds.DatabaseSecret) ? undefined : secret;
}

/** What an import may lack: CDK says so only when it is asked. */
function imported<T>(cluster: rds.IDatabaseCluster, ask: () => T, missing: string, remedy: string): T {
  try {
    return ask();
  } catch (error) {
    throw databaseError(
      `the imported cluster ${cluster.node.path} without ${missing}`,
      `${remedy} (${String(error)})`,
    );
  }
}

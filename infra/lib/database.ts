import { Aws, Token } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { IDependable } from 'constructs';

/** What can be said of an instance or a cluster beside itself. */
export interface DatabaseOptions {
  /**
   * The owner's credentials, in RDS's JSON form. Only the migrator is given them.
   *
   * @default - the secret that the instance or cluster was made with, if it was made in this app
   */
  readonly adminSecret?: secretsmanager.ISecret;
}

/** What can be said of a proxy beside itself. */
export interface DatabaseProxyOptions {
  /**
   * The database behind the proxy, to which the migrator connects directly: a proxy lets in only those logins
   * that it knows.
   *
   * @default - none: migrations must be skipped
   */
  readonly behind?: UserSyncDatabase;

  /**
   * The security group of the proxy.
   *
   * @default - the proxy's own, if it was made in this app; else its rules are yours
   */
  readonly securityGroup?: ec2.ISecurityGroup;

  /**
   * The port that the proxy listens on.
   *
   * @default 5432
   */
  readonly port?: number;
}

/** A database that this app does not know as a construct. */
export interface DatabaseAttributes {
  /** Its host name, as its certificate has it. */
  readonly host: string;

  /**
   * Its port.
   *
   * @default 5432
   */
  readonly port?: number;

  /**
   * Its security group, which is opened to those who connect.
   *
   * @default - none: its rules are yours; open them to `connections`
   */
  readonly securityGroup?: ec2.ISecurityGroup;

  /**
   * Its resource id (`db-…`, `cluster-…`, `prx-…`), which IAM authentication is granted by.
   *
   * @default - none: IAM authentication cannot be used
   */
  readonly resourceId?: string;

  /**
   * The owner's credentials, in RDS's JSON form. Only the migrator is given them.
   *
   * @default - none: migrations must be skipped
   */
  readonly adminSecret?: secretsmanager.ISecret;
}

/** The PostgreSQL (14 or newer) that holds the tables. */
export abstract class UserSyncDatabase {
  /** An instance of Amazon RDS. */
  public static fromInstance(
    instance: rds.IDatabaseInstance,
    options: DatabaseOptions = {},
  ): UserSyncDatabase {
    const own = instance instanceof rds.DatabaseInstance ? instance.secret : undefined;
    return new Endpoint({
      host: instance.instanceEndpoint.hostname,
      port: instance.instanceEndpoint.port,
      connections: instance.connections,
      adminSecret: options.adminSecret ?? own,
      connect: (grantee, user) => instance.grantConnect(grantee, user),
      dependencies: [instance],
    });
  }

  /** A cluster of Amazon Aurora, or of instances. */
  public static fromCluster(cluster: rds.IDatabaseCluster, options: DatabaseOptions = {}): UserSyncDatabase {
    const own = cluster instanceof rds.DatabaseCluster ? cluster.secret : undefined;
    return new Endpoint({
      host: cluster.clusterEndpoint.hostname,
      port: cluster.clusterEndpoint.port,
      connections: cluster.connections,
      adminSecret: options.adminSecret ?? own,
      connect: (grantee, user) => {
        const made = cluster.node.defaultChild;
        // Of an instance CDK sees to it, of a cluster it does not.
        if (made instanceof rds.CfnDBCluster && !made.enableIamDatabaseAuthentication) {
          throw new Error(
            'CognitoUserSync: database is a cluster without IAM authentication, so nobody could log in by it: ' +
              'give the cluster iamAuthentication: true, or auth: DatabaseAuth.secret()',
          );
        }
        return cluster.grantConnect(grantee, user);
      },
      // The cluster's endpoint is there before an instance answers behind it.
      dependencies: [cluster],
    });
  }

  /**
   * A proxy of Amazon RDS. None is needed to bound connections, `maximumConcurrency` does that. With
   * `DatabaseAuth.secret` the proxy must know the logins' secrets; with `DatabaseAuth.iam` it must hand IAM on
   * to the database (its default authentication scheme is `IAM_AUTH`). Whoever connects through it prepares
   * statements without a name: a named one would pin the proxy's connection.
   */
  public static fromProxy(proxy: rds.IDatabaseProxy, options: DatabaseProxyOptions = {}): UserSyncDatabase {
    const known = proxy instanceof rds.DatabaseProxy ? proxy.connections : undefined;
    const given = options.securityGroup && new ec2.Connections({ securityGroups: [options.securityGroup] });
    return new Endpoint({
      host: proxy.endpoint,
      port: options.port ?? 5432,
      connections: given ?? known,
      connect: (grantee, user) => proxy.grantConnect(grantee, user),
      dependencies: [proxy],
      owner: options.behind,
      isProxy: true,
    });
  }

  /** Any other, by its host name. */
  public static fromAttributes(attributes: DatabaseAttributes): UserSyncDatabase {
    const { host, port, securityGroup, resourceId, adminSecret } = attributes;
    return new Endpoint({
      host,
      port: port ?? 5432,
      connections: securityGroup && new ec2.Connections({ securityGroups: [securityGroup] }),
      adminSecret,
      connect: (grantee, user) => {
        if (resourceId === undefined) {
          throw new Error(
            'CognitoUserSync: database has no resourceId, and IAM authentication is granted by it: ' +
              'give resourceId to UserSyncDatabase.fromAttributes, or auth: DatabaseAuth.secret()',
          );
        }
        // "Creating and using an IAM policy for IAM database access", Amazon RDS User Guide.
        const arn = `arn:${Aws.PARTITION}:rds-db:${Aws.REGION}:${Aws.ACCOUNT_ID}:dbuser:${resourceId}/${user}`;
        return iam.Grant.addToPrincipal({ grantee, actions: ['rds-db:connect'], resourceArns: [arn] });
      },
      dependencies: [],
    });
  }

  /** Its host name. */
  public abstract readonly host: string;

  /** Its port. */
  public abstract readonly port: number;

  /** Its security groups, if they are known. */
  public abstract readonly connections?: ec2.Connections;

  /** The owner's credentials. */
  public abstract readonly adminSecret?: secretsmanager.ISecret;

  /** Where the owner connects: this database, or the one behind a proxy. */
  public abstract readonly owner: UserSyncDatabase;

  /**
   * What must be there before anybody connects.
   *
   * @internal
   */
  public abstract readonly _dependencies: IDependable[];

  /**
   * Whether connections are shared, a transaction at a time.
   *
   * @internal
   */
  public abstract readonly _isProxy: boolean;

  /** Permits a connection as one user, by IAM authentication. */
  public abstract grantConnect(grantee: iam.IGrantable, user: string): iam.Grant;

  /**
   * What a program needs to find the tables; `DATABASE_URL` is without a password.
   *
   * @internal
   */
  public _environment(databaseName: string, schema?: string, user?: string): Record<string, string> {
    const login = user === undefined ? '' : `${user}@`;
    const port = Token.isUnresolved(this.port) ? Token.asString(this.port) : `${this.port}`;
    return {
      DATABASE_URL: `postgres://${login}${this.host}:${port}/${databaseName}?sslrootcert=/opt/rds-ca.pem`,
      ...(schema !== undefined && { USER_SYNC_DATABASE_SCHEMA: schema }),
      // "Avoiding pinning an RDS Proxy", Amazon RDS User Guide: the next transaction may be on another connection.
      ...(this._isProxy && { USER_SYNC_PREPARED_STATEMENTS: 'unnamed' }),
    };
  }
}

interface EndpointProps {
  readonly host: string;
  readonly port: number;
  readonly connections?: ec2.Connections;
  readonly adminSecret?: secretsmanager.ISecret;
  readonly connect: (grantee: iam.IGrantable, user: string) => iam.Grant;
  readonly dependencies: IDependable[];
  readonly owner?: UserSyncDatabase;
  readonly isProxy?: boolean;
}

class Endpoint extends UserSyncDatabase {
  public readonly host: string;
  public readonly port: number;
  public readonly connections?: ec2.Connections;
  public readonly adminSecret?: secretsmanager.ISecret;
  public readonly owner: UserSyncDatabase;
  /** @internal */
  public readonly _dependencies: IDependable[];
  /** @internal */
  public readonly _isProxy: boolean;
  private readonly connect: EndpointProps['connect'];

  constructor(props: EndpointProps) {
    super();
    this.host = props.host;
    this.port = props.port;
    this.connections = props.connections;
    this.adminSecret = props.adminSecret;
    this.owner = props.owner ?? this;
    this._dependencies = props.dependencies;
    this._isProxy = props.isProxy ?? false;
    this.connect = props.connect;
  }

  public grantConnect(grantee: iam.IGrantable, user: string): iam.Grant {
    return this.connect(grantee, user);
  }
}

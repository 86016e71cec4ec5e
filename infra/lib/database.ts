/** The database that holds the tables, in each form in which an app knows it. */
import { Token } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import { Construct, IDependable } from 'constructs';
import { DatabaseEndpoint, ofAttributes, ofCluster, ofInstance } from './database-endpoint';
import { ofProxy } from './database-proxy';

/** What can be said of an instance or a cluster beside itself. */
export interface DatabaseOptions {
  /**
   * The owner's credentials, in RDS's JSON form. Only the migrator is given them. Of an imported database whose password RDS
   * manages, it is the secret of `MasterUserSecret.SecretArn` in `aws rds describe-db-instances`, or `describe-db-clusters`.
   *
   * @default - the secret that the instance or cluster was made with, also by `manageMasterUserPassword`, if it was made in
   * this app
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
   * Whether connections are shared, a transaction at a time, as by a proxy of Amazon RDS, or by PgBouncer with
   * `pool_mode = transaction`. Then statements are prepared without a name.
   *
   * @default - whether `resourceId` is that of a proxy (`prx-…`)
   */
  readonly pooled?: boolean;

  /**
   * The owner's credentials, in RDS's JSON form. Only the migrator is given them.
   *
   * @default - none: migrations must be skipped
   */
  readonly adminSecret?: secretsmanager.ISecret;
}

/** The PostgreSQL (14 or newer) that holds the tables. */
export class UserSyncDatabase {
  /** An instance of Amazon RDS, made or restored or imported. A read replica is refused: nothing can be written to it. */
  public static fromInstance(
    instance: rds.IDatabaseInstance,
    options: DatabaseOptions = {},
  ): UserSyncDatabase {
    return new UserSyncDatabase(ofInstance(instance, options.adminSecret));
  }

  /** A cluster of Amazon Aurora, serverless or not, or of instances; made or restored or imported. */
  public static fromCluster(cluster: rds.IDatabaseCluster, options: DatabaseOptions = {}): UserSyncDatabase {
    return new UserSyncDatabase(ofCluster(cluster, options.adminSecret));
  }

  /**
   * A proxy of Amazon RDS. None is needed to bound connections, `maxConcurrency` does that. With `DatabaseAuth.iam` the
   * proxy must hand IAM on to the database: its `defaultAuthScheme` is `IAM_AUTH`, and its role is permitted to connect as
   * both logins, by us where the proxy made the role and `behind` is given. With `DatabaseAuth.secret` it must know the
   * logins' secrets, so they are given to both. Whoever connects through it prepares statements without a name: a named one
   * would pin the proxy's connection.
   */
  public static fromProxy(proxy: rds.IDatabaseProxy, options: DatabaseProxyOptions = {}): UserSyncDatabase {
    return new UserSyncDatabase(ofProxy(proxy, options), options.behind);
  }

  /** Any other, by its host name. */
  public static fromAttributes(attributes: DatabaseAttributes): UserSyncDatabase {
    return new UserSyncDatabase(ofAttributes(attributes));
  }

  /** Its host name. */
  public readonly host: string;

  /** Its port. */
  public readonly port: number;

  /** Its security groups, if they are known. */
  public readonly connections?: ec2.Connections;

  /** The owner's credentials. */
  public readonly adminSecret?: secretsmanager.ISecret;

  /** Where the owner connects: this database, or the one behind a proxy. */
  public readonly owner: UserSyncDatabase;

  /**
   * What must be there before anybody connects.
   *
   * @internal
   */
  public readonly _dependencies: IDependable[];

  private readonly endpoint: DatabaseEndpoint;

  private constructor(endpoint: DatabaseEndpoint, owner?: UserSyncDatabase) {
    this.endpoint = endpoint;
    this.owner = owner ?? this;
    this.host = endpoint.host;
    this.port = endpoint.port;
    this.connections = endpoint.connections;
    this.adminSecret = endpoint.adminSecret;
    this._dependencies = endpoint.dependencies;
  }

  /** Permits a connection as one user, by IAM authentication. */
  public grantConnect(grantee: iam.IGrantable, user: string): iam.Grant {
    return this.endpoint.connect(grantee, user);
  }

  /**
   * Fails where nobody could log in by passwords; a secret that is generated is `undefined`.
   *
   * @internal
   */
  public _checkSecrets(given: (secretsmanager.ISecret | undefined)[]): void {
    this.endpoint.checkSecrets?.(given);
  }

  /**
   * Warns of what IAM authentication needs, and cannot be seen from here.
   *
   * @internal
   */
  public _warnOfIam(scope: Construct): void {
    this.endpoint.warnOfIam?.(scope);
  }

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
      ...(this.endpoint.isProxy && { USER_SYNC_PREPARED_STATEMENTS: 'unnamed' }),
    };
  }
}

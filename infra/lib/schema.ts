/** Migrates the database when the stack is deployed, and maintains the ledger daily. */
import { CustomResource, Duration } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { Certificates } from './certificates';
import { Retention } from './checks';
import { UserSyncDatabase } from './database';
import { Logins } from './logins';
import { Network } from './network';
import { Programs } from './programs';
import { grantRead } from './rights';
import { schedule } from './schedules';

/** Which tables are made where, and for whom. */
export interface SchemaProps {
  readonly programs: Programs;
  readonly network: Network;
  readonly certificates: Certificates;
  readonly database: UserSyncDatabase;
  readonly databaseName: string;
  readonly schema?: string;
  readonly rolePrefix?: string;
  readonly logins: Logins;
  readonly retention: Retention;
}

/** The function, its provider, the resource that asks it, and its daily schedule. */
export class Schema extends Construct {
  /** The function that migrates and maintains. */
  public readonly migrator: lambda.Function;

  /** What waits for the tables waits for it. */
  public readonly migration: CustomResource;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: SchemaProps,
  ) {
    super(scope, id);
    this.migrator = this.makeFunction();
    this.migration = this.custom();
    const maintain = { retentionDays: props.retention.ledger, monthsAhead: 3 };
    const daily = events.Schedule.rate(Duration.days(1));
    schedule(this, 'Maintenance', daily, this.migrator, { maintain });
  }

  private makeFunction(): lambda.Function {
    const { programs, network, certificates, database, databaseName, schema, rolePrefix } = this.props;
    const { logins, retention } = this.props;
    const adminSecret = database.owner.adminSecret!;
    network.functionsNeed('secretsManager');
    const made = programs.function(this, {
      program: 'user-sync-operator',
      description: 'Migrates the database when the stack is deployed, and maintains the ledger daily',
      // CDK's framework waits for 15 minutes, cold starts included; without its answer CloudFormation waits an hour.
      timeout: Duration.minutes(14),
      memorySize: 512,
      environment: {
        USER_SYNC_OPERATION: 'schema',
        USER_SYNC_DATABASE_AUTH: 'secret',
        USER_SYNC_DATABASE_SECRET_ARN: adminSecret.secretArn,
        ...database.owner._environment(databaseName, schema),
        ...(rolePrefix !== undefined && { USER_SYNC_ROLE_PREFIX: rolePrefix }),
        ...(retention.records !== undefined && {
          USER_SYNC_RECORD_RETENTION_DAYS: String(retention.records),
        }),
        ...logins.environment,
      },
      network,
      layers: [certificates.layer],
    });
    for (const secret of [adminSecret, logins.consumerSecret, logins.readerSecret, logins.consoleSecret])
      if (secret) grantRead(secret, made);
    return made;
  }

  private custom(): CustomResource {
    const { programs, network, database, schema, rolePrefix, logins } = this.props;
    const migration = new CustomResource(this, 'Resource', {
      serviceToken: programs.provider(this, this.migrator).serviceToken,
      resourceType: 'Custom::UserSyncSchema',
      properties: {
        Auth: logins.environment.USER_SYNC_LOGINS_AUTH,
        ConsumerUser: logins.consumer.user,
        ConsumerSecretArn: logins.consumerSecret?.secretArn,
        ReaderUser: logins.reader.user,
        ReaderSecretArn: logins.readerSecret?.secretArn,
        // Where there is a console.
        ConsoleUser: logins.environment.USER_SYNC_CONSOLE_LOGIN,
        ConsoleSecretArn: logins.consoleSecret?.secretArn,
        // Another schema or prefix is migrated at once, not with the next build.
        Schema: schema,
        RolePrefix: rolePrefix,
        Code: programs.fingerprint('user-sync-operator'),
      },
    });
    const groups = database.owner.connections?.securityGroups ?? [];
    migration.node.addDependency(...network.ways, ...database.owner._dependencies, ...groups);
    return migration;
  }
}

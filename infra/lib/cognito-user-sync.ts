import * as fs from 'node:fs';
import * as path from 'node:path';
import { CfnOutput, CustomResource, Duration, Names, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { DockerImageAsset, Platform } from 'aws-cdk-lib/aws-ecr-assets';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct, IConstruct } from 'constructs';
import { CERTIFICATES_FILE, certificates, requireAuthorities, staged } from './certificates';
import { UserSyncDatabase } from './database';
import { databaseWord, refuse, seconds, wholeNumber } from './limits';
import { alarms, dashboard, Metrics } from './monitoring';
import {
  AttachOptions,
  ClientMetadataKeys,
  DatabaseAuth,
  DriftCheck,
  FargateComputeOptions,
  Migrations,
  PoolTriggers,
  UserSyncCompute,
} from './options';
import { Network, Programs, WORKER_FILES } from './programs';
import { failureQueue, grantQueue, queues } from './queues';

/** What a `CognitoUserSync` needs to know. */
export interface CognitoUserSyncProps {
  /**
   * The user pool whose users become rows. A pool of this stack gets its triggers directly, any other by a
   * custom resource; see `triggers`.
   */
  readonly userPool: cognito.IUserPool;

  /** The VPC from which the database can be reached. The trigger function stays outside. */
  readonly vpc: ec2.IVpc;

  /**
   * The subnets of the consumer, the migrator and the drift check. They need a way to SQS: a NAT gateway, or
   * `endpoints`.
   *
   * @default - the private subnets, else the isolated ones
   */
  readonly vpcSubnets?: ec2.SubnetSelection;

  /** The PostgreSQL, 14 or newer, that holds the tables. */
  readonly database: UserSyncDatabase;

  /** The name of the database on it, which must be there. */
  readonly databaseName: string;

  /**
   * How the consumer and the drift check log in to the database.
   *
   * @default DatabaseAuth.iam()
   */
  readonly auth?: DatabaseAuth;

  /**
   * The authorities that the database's certificate is checked against, as the path of a PEM file.
   *
   * @default - Amazon RDS's, of the commercial regions that were there in 2024
   */
  readonly certificateAuthorities?: string;

  /**
   * Where the consumer runs.
   *
   * @default UserSyncCompute.lambda()
   */
  readonly compute?: UserSyncCompute;

  /**
   * The folder of the built programs, as `make lambda` leaves it: `lambda/<program>/bootstrap`, and for the worker
   * `worker/user-sync` and `worker/Dockerfile`. For arm64 the folders are `lambda-arm64` and `worker-arm64`.
   *
   * @default - the folder `dist` beside `infra`
   */
  readonly code?: string;

  /**
   * What the programs were built for.
   *
   * @default lambda.Architecture.X86_64
   */
  readonly architecture?: lambda.Architecture;

  /**
   * Most messages that are applied in one transaction, 1 to 10,000.
   *
   * @default 1000
   */
  readonly batchSize?: number;

  /**
   * How long Lambda gathers a batch, 0 to 300 s; 1 s at least where `batchSize` is above 10.
   *
   * @default Duration.seconds(1)
   */
  readonly batchingWindow?: Duration;

  /**
   * Most consumer functions at once, 2 to 1,000. Each takes one connection, so this bounds the database's.
   *
   * @default 4
   */
  readonly maximumConcurrency?: number;

  /**
   * How often a message is received before it is given up as a dead letter, 1 to 1,000. What can never be
   * applied does not wait for it. Lambda goes on receiving while the database is away, and retries are 2 s to
   * 15 min apart: 1,000 outlast about ten days. The worker does not receive meanwhile.
   *
   * @default - 1000 for Lambda, 100 for the worker
   */
  readonly maxReceiveCount?: number;

  /**
   * Memory of the consumer function in MiB, 128 to 10,240.
   *
   * @default 512
   */
  readonly consumerMemorySize?: number;

  /**
   * A key for the queue, the dead-letter queue and the generated secrets.
   *
   * @default - keys that SQS and Secrets Manager own
   */
  readonly encryptionKey?: kms.IKey;

  /**
   * How long logs are kept. An undelivered event is in the trigger's log and nowhere else: replay it before.
   *
   * @default logs.RetentionDays.THREE_MONTHS
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * What becomes of the queues and the trigger's log, which may hold events, with the stack.
   *
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy;

  /**
   * Whether users whom an administrator creates, changes, disables or deletes are followed by CloudTrail's
   * events. Without, such changes come with the user's next login or `user-sync reconcile`. Needs a trail of
   * management events.
   *
   * @default true
   */
  readonly lifecycle?: boolean;

  /**
   * How often the pool is compared with the table. Needs a way to Cognito from `vpcSubnets`, and the Lambda's 15
   * minutes: enough for some 500,000 users. Above, run `user-sync reconcile` where it may take longer.
   *
   * @default DriftCheck.daily()
   */
  readonly driftCheck?: DriftCheck;

  /**
   * Who migrates the database.
   *
   * @default Migrations.RUN
   */
  readonly migrations?: Migrations;

  /**
   * For how many days logins stay in the ledger one by one, 31 to 3,650; older ones are folded into the
   * baseline, and stay counted.
   *
   * @default 400
   */
  readonly retentionDays?: number;

  /**
   * Who makes the trigger function the pool's.
   *
   * @default PoolTriggers.attach()
   */
  readonly triggers?: PoolTriggers;

  /**
   * The names under which your clients send ClientMetadata.
   *
   * @default - the documented names
   */
  readonly clientMetadataKeys?: ClientMetadataKeys;

  /**
   * Whether to make the VPC endpoints that are needed where `vpcSubnets` have no way out. A VPC takes one
   * endpoint of a service: leave it out where they are there, and open them to `connections`.
   *
   * @default false
   */
  readonly endpoints?: boolean;

  /**
   * Where the alarms say that they are raised, and that they are over.
   *
   * @default - nowhere: they are only shown
   */
  readonly alarmTopic?: sns.ITopic;
}

/** The consumer's timeout: the longest that one batch may take. */
const CONSUMER_TIMEOUT = Duration.seconds(60);

/** The operations that change what the pool says of a user, as docs/operating.md has them. */
const LIFECYCLE_OPERATIONS = [
  'AdminCreateUser',
  'SignUp',
  'AdminConfirmSignUp',
  'ConfirmSignUp',
  'AdminUpdateUserAttributes',
  'UpdateUserAttributes',
  'AdminDeleteUserAttributes',
  'DeleteUserAttributes',
  'VerifyUserAttribute',
  'AdminDisableUser',
  'AdminEnableUser',
  'AdminSetUserPassword',
  'AdminResetUserPassword',
  'ConfirmForgotPassword',
  'AdminLinkProviderForUser',
  'AdminDisableProviderForUser',
  'AdminDeleteUser',
  'DeleteUser',
];

/**
 * Keeps every user of an Amazon Cognito user pool as a row in your PostgreSQL, with exact login counts, and
 * without a database write in any request path.
 */
export class CognitoUserSync extends Construct implements ec2.IConnectable {
  /** The queue between sign-ins and the database. */
  public readonly queue: sqs.Queue;

  /** Where messages that cannot be applied wait, each with its reason. */
  public readonly deadLetterQueue: sqs.Queue;

  /** The function behind both of the pool's triggers. */
  public readonly triggerFunction: lambda.Function;

  /** The consumer: a `lambda.Function` or an `ecs.FargateService`, as `compute` says. */
  public readonly consumer: IConstruct;

  /** The consumer, where it is a function. */
  public readonly consumerFunction?: lambda.Function;

  /** The consumer, where it is a service. */
  public readonly consumerService?: ecs.FargateService;

  /** The function that migrates and maintains the database, unless migrations are skipped. */
  public readonly migrator?: lambda.Function;

  /** The function that sends heartbeats, and follows users beside sign-ins. */
  public readonly lifecycleFunction: lambda.Function;

  /** What Lambda and EventBridge could not hand over to the lifecycle function. */
  public readonly lifecycleFailures: sqs.Queue;

  /** The function that compares the pool with the table, if there is one. */
  public readonly driftFunction?: lambda.Function;

  /** The network side of whatever connects to the database. */
  public readonly connections: ec2.Connections;

  /** The secret of the consumer's login, with `DatabaseAuth.secret`. */
  public readonly consumerSecret?: secretsmanager.ISecret;

  /** The secret of the drift check's login, with `DatabaseAuth.secret`. */
  public readonly readerSecret?: secretsmanager.ISecret;

  /** How all is going. */
  public readonly dashboard: cloudwatch.Dashboard;

  /** Each way in which users could stop being synced. */
  public readonly alarms: cloudwatch.Alarm[];

  private readonly props: CognitoUserSyncProps;
  private readonly auth: DatabaseAuth;
  private readonly programs: Programs;
  private readonly network: Network;
  private readonly metrics: Metrics;
  private authorities?: lambda.LayerVersion;

  constructor(scope: Construct, id: string, props: CognitoUserSyncProps) {
    super(scope, id);
    const batchSize = wholeNumber('batchSize', props.batchSize ?? 1_000, 1, 10_000);
    const window = seconds('batchingWindow', props.batchingWindow ?? Duration.seconds(1), 0, 300);
    if (batchSize > 10 && !window.isUnresolved() && window.toSeconds() < 1) {
      refuse(
        'batchingWindow',
        `${window.toSeconds()} s`,
        `1 s at least, since batchSize is ${batchSize}: above 10`,
      );
    }
    const fargate = props.compute?.fargateOptions;
    const retentionDays = wholeNumber('retentionDays', props.retentionDays ?? 400, 31, 3_650);
    const maximumConcurrency = wholeNumber('maximumConcurrency', props.maximumConcurrency ?? 4, 2, 1_000);
    const consumerMemorySize = wholeNumber(
      'consumerMemorySize',
      props.consumerMemorySize ?? 512,
      128,
      10_240,
    );
    const maxReceiveCount = wholeNumber(
      'maxReceiveCount',
      props.maxReceiveCount ?? (fargate ? 100 : 1_000),
      1,
      1_000,
    );
    databaseWord('databaseName', props.databaseName);
    requireAuthorities(Stack.of(this).region, props.certificateAuthorities);
    const runsMigrations = (props.migrations ?? Migrations.RUN) === Migrations.RUN;
    if (runsMigrations && !props.database.owner.adminSecret) {
      throw new Error(
        "CognitoUserSync: database has no adminSecret, and migrations need the owner's credentials: give adminSecret " +
          '(for a proxy: `behind`), or migrations: Migrations.SKIP and run `user-sync migrate` yourself',
      );
    }
    this.props = props;
    this.auth = props.auth ?? DatabaseAuth.iam();
    const removalPolicy = props.removalPolicy ?? RemovalPolicy.RETAIN;
    this.programs = new Programs(
      props.code ?? path.join(__dirname, '..', '..', 'dist'),
      props.architecture ?? lambda.Architecture.X86_64,
      props.logRetention ?? logs.RetentionDays.THREE_MONTHS,
    );

    const securityGroup = this.securityGroup();
    this.network = { vpc: props.vpc, vpcSubnets: props.vpcSubnets, securityGroup };
    this.connections = new ec2.Connections({ securityGroups: [securityGroup] });
    // "Configuring an Amazon SQS queue to use with Lambda": six times the timeout, and the window.
    const visibilityTimeout = Duration.seconds(6 * CONSUMER_TIMEOUT.toSeconds() + window.toSeconds());
    const { encryptionKey } = props;
    ({ queue: this.queue, deadLetterQueue: this.deadLetterQueue } = queues(this, {
      visibilityTimeout,
      maxReceiveCount,
      encryptionKey,
      removalPolicy,
    }));

    this.triggerFunction = this.trigger(removalPolicy === RemovalPolicy.RETAIN);
    this.attachTriggers();

    const drift = props.driftCheck ?? DriftCheck.daily();
    if (this.auth.usesSecrets) {
      this.consumerSecret = this.auth.consumerSecret ?? this.secret('ConsumerSecret', this.auth.consumerUser);
      if (runsMigrations || drift.interval) {
        this.readerSecret = this.auth.readerSecret ?? this.secret('ReaderSecret', this.auth.readerUser);
      }
    }
    const endpoints = props.endpoints ? this.endpoints(runsMigrations, drift, fargate) : [];
    const reachable: IConstruct[] = [securityGroup, ...endpoints];
    let migration: CustomResource | undefined;
    if (runsMigrations) {
      this.migrator = this.migratorFunction();
      migration = this.migration(this.migrator, reachable);
      this.schedule('Maintenance', events.Schedule.rate(Duration.days(1)), this.migrator, {
        maintain: { retentionDays, monthsAhead: 3 },
      });
    }
    this.rotate(migration);

    let consumerMetrics: string;
    if (fargate) {
      consumerMetrics = `${Names.uniqueResourceName(this, { separator: '-', maxLength: 60 })}-worker`;
      this.consumerService = this.worker(fargate, batchSize, consumerMetrics);
      this.consumer = this.consumerService;
    } else {
      this.consumerFunction = this.consumerLambda(consumerMemorySize);
      this.consumer = this.consumerFunction;
      consumerMetrics = this.consumerFunction.functionName;
      new lambda.EventSourceMapping(this, 'Mapping', {
        target: this.consumerFunction,
        eventSourceArn: this.queue.queueArn,
        batchSize,
        maxBatchingWindow: window,
        maxConcurrency: maximumConcurrency,
        reportBatchItemFailures: true,
      });
    }
    // The tables are those that the consumer's code knows, before it runs.
    if (migration) this.consumer.node.addDependency(migration);

    this.lifecycleFailures = failureQueue(this, 'LifecycleFailures');
    this.lifecycleFunction = this.lifecycleLambda();
    if (drift.interval) this.driftFunction = this.driftLambda(drift.interval, migration);

    const watched = {
      queue: this.queue,
      deadLetterQueue: this.deadLetterQueue,
      triggerFunction: this.triggerFunction,
      isChained: isChained(props.triggers?.attachOptions),
      consumerService: consumerMetrics,
      consumerFunction: this.consumerFunction,
      worker: this.consumerService,
      lifecycleFunction: this.lifecycleFunction,
      lifecycleFailures: this.lifecycleFailures,
      migrator: this.migrator,
      driftFunction: this.driftFunction,
      driftInterval: drift.interval,
    };
    this.metrics = new Metrics(watched);
    this.alarms = alarms(this, watched, this.metrics, props.alarmTopic);
    this.dashboard = dashboard(this, watched, this.metrics, this.alarms);
  }

  /** Permits `user-sync dlq` in all its forms: list, show, redrive, drop. */
  public grantRedrive(grantee: iam.IGrantable): iam.Grant {
    return grantQueue(
      this.deadLetterQueue,
      grantee,
      'sqs:ReceiveMessage',
      'sqs:ChangeMessageVisibility',
      'sqs:DeleteMessage',
      'sqs:GetQueueAttributes',
      'sqs:StartMessageMoveTask',
      'sqs:ListMessageMoveTasks',
      'sqs:CancelMessageMoveTask',
    ).combine(grantQueue(this.queue, grantee, 'sqs:SendMessage', 'sqs:GetQueueAttributes'));
  }

  /** Permits to read the trigger's log, and `user-sync replay` of what is in it. */
  public grantReplay(grantee: iam.IGrantable): iam.Grant {
    return this.triggerFunction.logGroup
      .grant(grantee, 'logs:FilterLogEvents', 'logs:GetLogEvents')
      .combine(grantQueue(this.queue, grantee, 'sqs:SendMessage', 'sqs:GetQueueAttributes'));
  }

  /** Seconds from when an event occurred to when its row was committed; by default the 99th percentile over 5 minutes. */
  public metricFreshness(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metrics.freshness(props);
  }

  /** Messages in the dead-letter queue; by default the most of each minute. */
  public metricDeadLetters(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metrics.deadLetters(props);
  }

  /** Events that are only in the trigger's log; by default the sum over 5 minutes. */
  public metricUndelivered(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metrics.trigger('undelivered', props);
  }

  /** Heartbeats that came through; by default the sum over 5 minutes. */
  public metricHeartbeats(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metrics.consumer('heartbeats', props);
  }

  /** Seconds that the oldest message has waited; by default the most of each 5 minutes. */
  public metricOldestMessage(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metrics.oldestMessage(props);
  }

  /** Users and rows that a repair would mend; by default the most of a day. Fails where there is no drift check. */
  public metricDrift(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metrics.drift(props);
  }

  /** Days that the ledger has months for; by default the least of a day. Fails where migrations are skipped. */
  public metricLedgerDaysAhead(props?: cloudwatch.MetricOptions): cloudwatch.Metric {
    return this.metrics.ledgerDaysAhead(props);
  }

  private securityGroup(): ec2.SecurityGroup {
    const { vpc, database } = this.props;
    const description = 'Connects to the database and to AWS, and is connected to by nobody';
    const group = new ec2.SecurityGroup(this, 'SecurityGroup', { vpc, description, allowAllOutbound: false });
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.HTTPS, "AWS's services");
    for (const { connections, port } of new Set([database, database.owner])) {
      if (connections)
        group.connections.allowTo(connections, ec2.Port.tcp(port), 'PostgreSQL, for user-sync');
      else group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(port), 'PostgreSQL');
    }
    return group;
  }

  private trigger(keepLog: boolean): lambda.Function {
    const options = this.props.triggers?.attachOptions;
    const keys = clientMetadata(this.props.clientMetadataKeys);
    const made = this.programs.function(this, 'Trigger', {
      program: 'user-sync-trigger',
      description: 'PostConfirmation and PostAuthentication of the user pool: each event onto the queue',
      // Cognito waits no longer ("Customizing user pool workflows with Lambda triggers").
      timeout: Duration.seconds(5),
      memorySize: 256,
      environment: {
        USER_SYNC_QUEUE_URL: this.queue.queueUrl,
        ...(keys && { USER_SYNC_CLIENT_METADATA_KEYS: keys }),
        ...(options?.chainPostConfirmation && {
          USER_SYNC_CHAIN_POST_CONFIRMATION: options.chainPostConfirmation.functionArn,
        }),
        ...(options?.chainPostAuthentication && {
          USER_SYNC_CHAIN_POST_AUTHENTICATION: options.chainPostAuthentication.functionArn,
        }),
      },
      keepLog,
    });
    grantQueue(this.queue, made, 'sqs:SendMessage', 'sqs:GetQueueAttributes');
    const chained = [options?.chainPostConfirmation, options?.chainPostAuthentication];
    const resources = chained.flatMap((chain) => (chain ? [chain.functionArn] : []));
    if (resources.length > 0) {
      made.addToRolePolicy(
        new iam.PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [...new Set(resources)] }),
      );
    }
    return made;
  }

  private attachTriggers(): void {
    const { userPool } = this.props;
    const options = (this.props.triggers ?? PoolTriggers.attach()).attachOptions;
    // Of a pool in another stack, each stack would wait for the other.
    if (options && userPool instanceof cognito.UserPool && Stack.of(userPool) === Stack.of(this)) {
      this.addTrigger(userPool, cognito.UserPoolOperation.POST_CONFIRMATION, 'chainPostConfirmation');
      this.addTrigger(userPool, cognito.UserPoolOperation.POST_AUTHENTICATION, 'chainPostAuthentication');
      return;
    }
    const permission = new lambda.CfnPermission(this, 'TriggerPermission', {
      action: 'lambda:InvokeFunction',
      functionName: this.triggerFunction.functionArn,
      principal: 'cognito-idp.amazonaws.com',
      sourceArn: userPool.userPoolArn,
    });
    if (!options) {
      new CfnOutput(this, 'TriggerFunctionArn', {
        description: "Set this function as the user pool's PostConfirmation and PostAuthentication trigger",
        value: this.triggerFunction.functionArn,
      });
      return;
    }
    this.poolTriggers(options).node.addDependency(permission);
  }

  private addTrigger(pool: cognito.UserPool, operation: cognito.UserPoolOperation, prop: string): void {
    try {
      pool.addTrigger(operation, this.triggerFunction);
    } catch (error) {
      throw new Error(
        `CognitoUserSync: userPool has a ${operation.operationName} trigger already: leave it out of the pool's ` +
          `triggers, and give the function as ${prop} to PoolTriggers.attach, which calls it first (${String(error)})`,
      );
    }
  }

  /** The custom resource that sets the triggers of a pool that is not this stack's. */
  private poolTriggers(options: AttachOptions): CustomResource {
    const { userPool } = this.props;
    const setter = this.programs.function(this, 'PoolTriggers', {
      program: 'user-sync-operator',
      description:
        "Sets the user pool's two triggers when the stack is deployed, and puts back what was there",
      // It waits for Cognito where that throttles, and where somebody else changes the pool meanwhile.
      timeout: Duration.minutes(5),
      memorySize: 256,
      environment: { USER_SYNC_OPERATION: 'pool-triggers' },
    });
    setter.addToRolePolicy(
      new iam.PolicyStatement({
        actions: [
          'cognito-idp:DescribeUserPool',
          'cognito-idp:UpdateUserPool',
          // The factors of MFA are no part of the two above, and an update must not change them.
          'cognito-idp:GetUserPoolMfaConfig',
          'cognito-idp:SetUserPoolMfaConfig',
        ],
        resources: [userPool.userPoolArn],
      }),
    );
    if (options.smsRole) {
      setter.addToRolePolicy(
        new iam.PolicyStatement({
          actions: ['iam:PassRole'],
          resources: [options.smsRole.roleArn],
          conditions: { StringEquals: { 'iam:PassedToService': 'cognito-idp.amazonaws.com' } },
        }),
      );
    }
    options.senderKey?.grant(setter, 'kms:CreateGrant');
    const provider = this.programs.provider(this, 'PoolTriggersProvider', setter);
    return new CustomResource(this, 'PoolTriggersResource', {
      serviceToken: provider.serviceToken,
      resourceType: 'Custom::UserSyncPoolTriggers',
      properties: {
        UserPoolId: userPool.userPoolId,
        FunctionArn: this.triggerFunction.functionArn,
        ChainPostConfirmation: options.chainPostConfirmation?.functionArn,
        ChainPostAuthentication: options.chainPostAuthentication?.functionArn,
        Overwrite: String(options.overwrite ?? false),
      },
    });
  }

  /** Credentials in RDS's JSON form, which hosted rotation reads too. */
  private secret(id: string, username: string): secretsmanager.Secret {
    const { database, databaseName, encryptionKey } = this.props;
    const { host, port } = database;
    const secret = new secretsmanager.Secret(this, id, {
      description: `Login ${username} of user-sync`,
      encryptionKey,
      generateSecretString: {
        generateStringKey: 'password',
        excludePunctuation: true,
        passwordLength: 40,
        secretStringTemplate: Stack.of(this).toJsonString({
          engine: 'postgres',
          host,
          port,
          dbname: databaseName,
          username,
        }),
      },
    });
    if (!this.auth.rotateAfter) {
      Validations.of(secret).acknowledge({
        id: 'AwsSolutions-SMG4',
        reason: 'Rotation is asked for by DatabaseAuth.secret({ rotateAfter }).',
      });
    }
    return secret;
  }

  private rotate(migration?: CustomResource): void {
    const { rotateAfter } = this.auth;
    if (!rotateAfter) return;
    const { vpc, vpcSubnets, securityGroup } = this.network;
    for (const secret of [this.consumerSecret, this.readerSecret]) {
      if (!(secret instanceof secretsmanager.Secret) || secret.node.scope !== this) continue;
      const schedule = secret.addRotationSchedule('Rotation', {
        automaticallyAfter: rotateAfter,
        hostedRotation: secretsmanager.HostedRotation.postgreSqlSingleUser({
          vpc,
          vpcSubnets,
          securityGroups: [securityGroup],
          excludeCharacters: EXCLUDED_FROM_PASSWORDS,
        }),
      });
      // The first rotation happens at once, and needs a login to rotate.
      if (migration) schedule.node.addDependency(migration);
    }
  }

  /** The interface endpoints, and S3's gateway, that functions in closed subnets need. */
  private endpoints(
    runsMigrations: boolean,
    drift: DriftCheck,
    fargate?: FargateComputeOptions,
  ): IConstruct[] {
    const { vpc, vpcSubnets } = this.network;
    const services = ec2.InterfaceVpcEndpointAwsService;
    const needed: Record<string, ec2.InterfaceVpcEndpointAwsService> = {
      Sqs: services.SQS,
      ...((runsMigrations || this.auth.usesSecrets) && { SecretsManager: services.SECRETS_MANAGER }),
      ...(drift.interval && { Cognito: services.COGNITO_IDP }),
      ...(fargate && { Ecr: services.ECR, EcrDocker: services.ECR_DOCKER, Logs: services.CLOUDWATCH_LOGS }),
    };
    const made: IConstruct[] = Object.entries(needed).map(([name, service]) => {
      const endpoint = new ec2.InterfaceVpcEndpoint(this, `${name}Endpoint`, {
        vpc,
        service,
        subnets: vpcSubnets,
        open: false,
      });
      endpoint.connections.allowDefaultPortFrom(this, 'user-sync');
      return endpoint;
    });
    if (fargate) {
      const service = ec2.GatewayVpcEndpointAwsService.S3;
      made.push(
        new ec2.GatewayVpcEndpoint(this, 'S3Endpoint', { vpc, service, subnets: vpcSubnets && [vpcSubnets] }),
      );
    }
    return made;
  }

  private migratorFunction(): lambda.Function {
    const { database, databaseName, userPool } = this.props;
    const adminSecret = database.owner.adminSecret!;
    const made = this.programs.function(this, 'Migrator', {
      program: 'user-sync-operator',
      description: 'Migrates the database when the stack is deployed, and maintains the ledger daily',
      timeout: Duration.minutes(15),
      memorySize: 512,
      environment: {
        USER_SYNC_OPERATION: 'schema',
        USER_SYNC_DATABASE_AUTH: 'secret',
        USER_SYNC_DATABASE_SECRET_ARN: adminSecret.secretArn,
        DATABASE_URL: database.owner._url(databaseName),
        USER_SYNC_USER_POOL_ID: userPool.userPoolId,
      },
      network: this.network,
      layers: [this.layer()],
    });
    adminSecret.grantRead(made);
    this.consumerSecret?.grantRead(made);
    this.readerSecret?.grantRead(made);
    return made;
  }

  private migration(migrator: lambda.Function, reachable: IConstruct[]): CustomResource {
    const provider = this.programs.provider(this, 'MigrationProvider', migrator);
    const { auth, props } = this;
    const migration = new CustomResource(this, 'Migration', {
      serviceToken: provider.serviceToken,
      resourceType: 'Custom::UserSyncSchema',
      properties: {
        Auth: auth.usesSecrets ? 'secret' : 'iam',
        ConsumerUser: auth.consumerUser,
        ConsumerSecretArn: this.consumerSecret?.secretArn,
        ReaderUser: auth.readerUser,
        ReaderSecretArn: this.readerSecret?.secretArn,
        Code: this.programs.fingerprint('user-sync-operator'),
      },
    });
    const groups = props.database.owner.connections?.securityGroups ?? [];
    migration.node.addDependency(...reachable, ...props.database.owner._dependencies, ...groups);
    return migration;
  }

  /** What a program needs to log in as one user, and the rights for it. */
  private login(
    grantee: iam.IGrantable,
    user: string,
    secret?: secretsmanager.ISecret,
  ): Record<string, string> {
    const { database, databaseName } = this.props;
    if (!secret) {
      database.grantConnect(grantee, user);
      return { DATABASE_URL: database._url(databaseName, user), USER_SYNC_DATABASE_AUTH: 'iam' };
    }
    secret.grantRead(grantee);
    return {
      DATABASE_URL: database._url(databaseName),
      USER_SYNC_DATABASE_AUTH: 'secret',
      USER_SYNC_DATABASE_SECRET_ARN: secret.secretArn,
    };
  }

  private addLogin(target: lambda.Function, user: string, secret?: secretsmanager.ISecret): void {
    for (const [name, value] of Object.entries(this.login(target, user, secret)))
      target.addEnvironment(name, value);
  }

  private consumerLambda(memorySize: number): lambda.Function {
    const made = this.programs.function(this, 'Consumer', {
      program: 'user-sync-consumer',
      description: 'Applies events from the queue to the database, each exactly once',
      timeout: CONSUMER_TIMEOUT,
      memorySize,
      environment: {
        USER_SYNC_QUEUE_URL: this.queue.queueUrl,
        USER_SYNC_DLQ_URL: this.deadLetterQueue.queueUrl,
      },
      network: this.network,
      layers: [this.layer()],
    });
    this.addLogin(made, this.auth.consumerUser, this.consumerSecret);
    this.grantConsume(made);
    return made;
  }

  private grantConsume(grantee: iam.IGrantable): void {
    const consume = ['ReceiveMessage', 'DeleteMessage', 'ChangeMessageVisibility', 'GetQueueAttributes'];
    grantQueue(this.queue, grantee, ...consume.map((action) => `sqs:${action}`));
    grantQueue(this.deadLetterQueue, grantee, 'sqs:SendMessage');
  }

  private worker(
    options: FargateComputeOptions,
    batchSize: number,
    metricsService: string,
  ): ecs.FargateService {
    const { vpc, vpcSubnets, securityGroup } = this.network;
    const isArm = this.props.architecture === lambda.Architecture.ARM_64;
    const task = new ecs.FargateTaskDefinition(this, 'WorkerTask', {
      cpu: options.cpu ?? 256,
      memoryLimitMiB: options.memoryLimitMiB ?? 512,
      runtimePlatform: {
        cpuArchitecture: isArm ? ecs.CpuArchitecture.ARM64 : ecs.CpuArchitecture.X86_64,
        operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
      },
    });
    task.addContainer('worker', {
      image: options.image ?? this.workerImage(isArm),
      command: ['worker'],
      environment: {
        USER_SYNC_QUEUE_URL: this.queue.queueUrl,
        USER_SYNC_DLQ_URL: this.deadLetterQueue.queueUrl,
        USER_SYNC_BATCH_SIZE: String(batchSize),
        USER_SYNC_CONCURRENCY: String(options.concurrency ?? 2),
        USER_SYNC_EMF_SERVICE: metricsService,
        ...this.login(task.taskRole, this.auth.consumerUser, this.consumerSecret),
      },
      logging: ecs.LogDriver.awsLogs({
        logGroup: this.programs.logGroup(this, 'WorkerLog'),
        streamPrefix: 'worker',
      }),
      readonlyRootFilesystem: true,
      // A batch under way is finished first, or comes again.
      stopTimeout: Duration.seconds(90),
    });
    this.grantConsume(task.taskRole);
    Validations.of(task).acknowledge(
      {
        id: 'AwsSolutions-ECS2',
        reason: 'The variables hold URLs and names; the password is in Secrets Manager, or there is none.',
      },
      {
        id: 'AwsSolutions-IAM5[Resource::*]',
        reason:
          'ecr:GetAuthorizationToken takes no narrower resource ("Actions, resources, and condition keys for Amazon ECR").',
      },
    );
    const cluster =
      options.cluster ??
      new ecs.Cluster(this, 'Cluster', { vpc, containerInsightsV2: ecs.ContainerInsights.ENABLED });
    return new ecs.FargateService(this, 'Worker', {
      cluster,
      taskDefinition: task,
      desiredCount: options.tasks ?? 2,
      vpcSubnets,
      securityGroups: [securityGroup],
      circuitBreaker: { rollback: true },
      // Any number of workers may run at once, of either version.
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
    });
  }

  /** The image of what `make lambda` built, with the authorities added. */
  private workerImage(isArm: boolean): ecs.ContainerImage {
    const source = this.programs.workerPath();
    const fill = (folder: string) => {
      for (const file of WORKER_FILES) fs.copyFileSync(path.join(source, file), path.join(folder, file));
      fs.writeFileSync(path.join(folder, CERTIFICATES_FILE), certificates(this.props.certificateAuthorities));
    };
    const asset = staged(
      this,
      fill,
      (directory) =>
        new DockerImageAsset(this, 'WorkerImage', {
          directory,
          platform: isArm ? Platform.LINUX_ARM64 : Platform.LINUX_AMD64,
        }),
    );
    return ecs.ContainerImage.fromDockerImageAsset(asset);
  }

  private lifecycleLambda(): lambda.Function {
    const { userPool } = this.props;
    const failures = this.lifecycleFailures;
    const made = this.programs.function(this, 'Lifecycle', {
      program: 'user-sync-lifecycle',
      description: 'Sends a heartbeat every 5 minutes, and what happens to users beside sign-ins',
      // 20 s to read the user, 10 s to publish.
      timeout: Duration.seconds(45),
      memorySize: 256,
      environment: { USER_SYNC_QUEUE_URL: this.queue.queueUrl, USER_SYNC_USER_POOL_ID: userPool.userPoolId },
      onFailure: { bind: () => ({ destination: failures.queueArn }) },
    });
    grantQueue(failures, made, 'sqs:SendMessage');
    grantQueue(this.queue, made, 'sqs:SendMessage');
    this.schedule('Heartbeat', events.Schedule.rate(Duration.minutes(5)), made, { heartbeat: true });
    if (this.props.lifecycle ?? true) {
      made.addToRolePolicy(
        new iam.PolicyStatement({
          actions: ['cognito-idp:AdminGetUser', 'cognito-idp:ListUsers'],
          resources: [userPool.userPoolArn],
        }),
      );
      new events.Rule(this, 'LifecycleRule', {
        description: "What happens to the user pool's users beside sign-ins",
        eventPattern: {
          source: ['aws.cognito-idp'],
          detailType: ['AWS API Call via CloudTrail'],
          detail: { eventSource: ['cognito-idp.amazonaws.com'], eventName: LIFECYCLE_OPERATIONS },
        },
        targets: [new targets.LambdaFunction(made, { deadLetterQueue: failures })],
      });
    }
    return made;
  }

  private driftLambda(interval: Duration, migration?: CustomResource): lambda.Function {
    const { userPool } = this.props;
    const made = this.programs.function(this, 'Drift', {
      program: 'user-sync-operator',
      description: 'Compares the user pool with the table, and changes neither',
      timeout: Duration.minutes(15),
      memorySize: 512,
      environment: { USER_SYNC_OPERATION: 'drift', USER_SYNC_USER_POOL_ID: userPool.userPoolId },
      network: this.network,
      layers: [this.layer()],
    });
    this.addLogin(made, this.auth.readerUser, this.readerSecret);
    made.addToRolePolicy(
      new iam.PolicyStatement({
        actions: ['cognito-idp:ListUsers', 'cognito-idp:AdminGetUser', 'cognito-idp:DescribeUserPool'],
        resources: [userPool.userPoolArn],
      }),
    );
    if (migration) made.node.addDependency(migration);
    this.schedule('DriftCheck', events.Schedule.rate(interval), made, { drift: true });
    return made;
  }

  private schedule(id: string, schedule: events.Schedule, target: lambda.Function, input: object): void {
    const event = events.RuleTargetInput.fromObject(input);
    new events.Rule(this, `${id}Schedule`, {
      schedule,
      targets: [new targets.LambdaFunction(target, { event })],
    });
  }

  /** `/opt/rds-ca.pem` for functions. */
  private layer(): lambda.LayerVersion {
    this.authorities ??= staged(
      this,
      (folder) =>
        fs.writeFileSync(
          path.join(folder, CERTIFICATES_FILE),
          certificates(this.props.certificateAuthorities),
        ),
      (folder) =>
        new lambda.LayerVersion(this, 'CertificateAuthorities', {
          description: "The authorities of Amazon RDS's certificates, in /opt/rds-ca.pem",
          code: lambda.Code.fromAsset(folder),
        }),
    );
    return this.authorities;
  }
}

/** All ASCII punctuation: what stands in a password may then stand in a URL and in SQL. */
const EXCLUDED_FROM_PASSWORDS = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';

function isChained(options?: AttachOptions): boolean {
  return options?.chainPostConfirmation !== undefined || options?.chainPostAuthentication !== undefined;
}

/** `USER_SYNC_CLIENT_METADATA_KEYS`: the keys that differ from the documented ones. */
function clientMetadata(keys: ClientMetadataKeys = {}): string | undefined {
  const named: [string, string | undefined][] = [
    ['ip', keys.ip],
    ['user_agent', keys.userAgent],
    ['device', keys.device],
    ['location', keys.location],
    ['referral_code', keys.referralCode],
  ];
  const given = named.flatMap(([meaning, key]) => {
    if (key === undefined) return [];
    if (!/^[^,=\s]+$/.test(key))
      refuse('clientMetadataKeys', key, 'names without commas, equals signs and blanks');
    return [`${meaning}=${key}`];
  });
  return given.length > 0 ? given.join(',') : undefined;
}

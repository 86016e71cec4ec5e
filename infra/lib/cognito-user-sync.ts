/**
 * Longer than a file here should be: its parts are siblings by prefix. They are divided by concept when the construct gets
 * nested ones; until then a split would only move them.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import {
  Aws,
  CfnDeletionPolicy,
  CfnOutput,
  CustomResource,
  Duration,
  Names,
  RemovalPolicy,
  Stack,
  Token,
  Validations,
} from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { DockerImageAsset, Platform } from 'aws-cdk-lib/aws-ecr-assets';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { EventBridgeDestination } from 'aws-cdk-lib/aws-lambda-destinations';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct, IConstruct } from 'constructs';
import { auditFunction } from './audit';
import { CERTIFICATES_FILE, certificates, staged } from './certificates';
import { contextEnvironment, contextQueues, grantSend, mapRecords } from './context-queue';
import { goOn } from './drift';
import { keeper, Keeper, permitParameter, poolChanges } from './keeper';
import { refuse } from './limits';
import { Metrics } from './monitoring/metrics';
import { Monitoring } from './monitoring/monitoring';
import { AttachOptions, ClientMetadataKeys, FargateComputeOptions } from './options';
import { Attachment, chains, poolTriggers } from './pool-triggers';
import { Network, Programs, WORKER_FILES } from './programs';
import { CognitoUserSyncProps } from './props';
import { CONSUME, failureQueue, grantQueue, Queues, queues } from './queues';
import { schedule } from './schedules';
import { Settings, settings } from './settings';
import { SignInRecords, signInRecords } from './sign-in-records';

/** The consumer's timeout: the longest that one batch may take. */
const CONSUMER_TIMEOUT = Duration.seconds(60);

/** How often a heartbeat is sent and the triggers are looked at. */
const EVERY_5_MINUTES = events.Schedule.rate(Duration.minutes(5));

/** Where the worker says whether it is well: to its own task only. */
const HEALTH_ADDRESS = '127.0.0.1:9464';

/** What is to be attached, and what has attached it. */
interface Attached {
  readonly attachment: Attachment;
  readonly resource: CustomResource;
}

/** The operations that change what the pool says of a user or a group, as docs/operating.md has them. */
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
  'AdminAddUserToGroup',
  'AdminRemoveUserFromGroup',
  'DeleteGroup',
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

  /** The queue of contexts and failed sign-ins, with `loginContext` or `contextQueue: true`. */
  public readonly contextQueue?: sqs.Queue;

  /** Where contexts and failed sign-ins that cannot be applied wait, each with its reason. */
  public readonly contextDeadLetterQueue?: sqs.Queue;

  /** The function that reads AWS's records of sign-ins, with a source in `loginContext`. */
  public readonly recordsFunction?: lambda.Function;

  /** The function that compares the logins with what AWS recorded, with a source in `loginContext`. */
  public readonly auditFunction?: lambda.Function;

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

  /** The function that puts the pool's triggers back, with `PoolTriggers.attach({ keep: true })`. */
  public readonly triggerKeeper?: lambda.Function;

  /** What `user-sync triggers hold` writes to, with `PoolTriggers.attach({ keep: true })`. */
  public readonly triggersParameter?: ssm.IParameter;

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
  private readonly settings: Settings;
  private readonly programs: Programs;
  private readonly network: Network;
  private readonly metrics: Metrics;
  private readonly contexts?: Queues;
  private authorities?: lambda.LayerVersion;

  constructor(scope: Construct, id: string, props: CognitoUserSyncProps) {
    super(scope, id);
    this.props = props;
    this.settings = settings(props, Stack.of(this).region);
    const { auth, code, architecture, logRetention, removalPolicy } = this.settings;
    this.programs = new Programs(code, architecture, logRetention);
    const securityGroup = this.securityGroup();
    this.network = { vpc: props.vpc, vpcSubnets: props.vpcSubnets, securityGroup };
    this.connections = new ec2.Connections({ securityGroups: [securityGroup] });

    ({ queue: this.queue, deadLetterQueue: this.deadLetterQueue } = this.queues());
    if (this.settings.hasContextQueue) {
      this.contexts = this.contextQueues();
      ({ queue: this.contextQueue, deadLetterQueue: this.contextDeadLetterQueue } = this.contexts);
    }
    this.triggerFunction = this.trigger(removalPolicy === RemovalPolicy.RETAIN);
    const attached = this.attachTriggers();

    const { runsMigrations, driftInterval, fargate, sources } = this.settings;
    if (auth.usesSecrets) {
      this.consumerSecret = auth.consumerSecret ?? this.secret('ConsumerSecret', auth.consumerUser);
      if (runsMigrations || driftInterval || sources) {
        this.readerSecret = auth.readerSecret ?? this.secret('ReaderSecret', auth.readerUser);
      }
    }
    const endpoints = props.endpoints ? this.endpoints() : [];
    let migration: CustomResource | undefined;
    if (runsMigrations) {
      this.migrator = this.migratorFunction();
      migration = this.migration(this.migrator, [securityGroup, ...endpoints]);
    }
    this.rotate(migration);

    let consumerMetrics: string;
    if (fargate) {
      consumerMetrics = `${Names.uniqueResourceName(this, { separator: '-', maxLength: 60 })}-worker`;
      this.consumerService = this.worker(fargate, consumerMetrics);
      this.consumer = this.consumerService;
    } else {
      this.consumerFunction = this.consumerLambda();
      this.consumer = this.consumerFunction;
      consumerMetrics = this.consumerFunction.functionName;
    }
    // The tables are those that the consumer's code knows, before it runs.
    if (migration) this.consumer.node.addDependency(migration);

    this.lifecycleFailures = failureQueue(this, 'LifecycleFailures');
    this.lifecycleFunction = this.lifecycleLambda();
    // Consumers know its new types of events before it sends any.
    this.lifecycleFunction.node.addDependency(this.consumer);
    const heartbeat = schedule(this, 'Heartbeat', EVERY_5_MINUTES, this.lifecycleFunction, {
      heartbeat: true,
    });
    const kept = attached && this.watchTriggers(attached, heartbeat);
    this.triggerKeeper = kept?.keeperFunction;
    this.triggersParameter = kept?.parameter;
    if (driftInterval) this.driftFunction = this.driftLambda(driftInterval, migration);

    const records = this.signInRecords();
    this.recordsFunction = records?.recordsFunction;
    if (records) this.auditFunction = this.auditLambda(migration);

    const watched = {
      queue: this.queue,
      deadLetterQueue: this.deadLetterQueue,
      triggerFunction: this.triggerFunction,
      isAttached: this.settings.triggers.attachOptions !== undefined,
      isChained: isChained(this.settings.triggers.attachOptions),
      consumerService: consumerMetrics,
      consumerFunction: this.consumerFunction,
      worker: this.consumerService,
      lifecycleFunction: this.lifecycleFunction,
      lifecycleFailures: this.lifecycleFailures,
      triggerKeeper: this.triggerKeeper,
      triggersParameter: this.triggersParameter,
      migrator: this.migrator,
      driftFunction: this.driftFunction,
      driftInterval,
      contexts: this.contexts && {
        ...this.contexts,
        consumerService: consumerMetrics,
        records,
        auditFunction: this.auditFunction,
      },
    };
    const alarmActions = props.alarmTopic ? [new SnsAction(props.alarmTopic)] : [];
    ({
      metrics: this.metrics,
      alarms: this.alarms,
      dashboard: this.dashboard,
    } = new Monitoring(this, 'Monitoring', {
      watched,
      alarmActions,
      heartbeatInterval: Duration.minutes(5),
    }));
  }

  /** Permits `user-sync dlq` in all its forms: list, show, redrive, drop. Of contexts, too, where there is a queue of them. */
  public grantRedrive(grantee: iam.IGrantable): iam.Grant {
    const redrive = ({ queue, deadLetterQueue }: Queues) =>
      grantQueue(
        deadLetterQueue,
        grantee,
        'sqs:ReceiveMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:DeleteMessage',
        'sqs:GetQueueAttributes',
        'sqs:StartMessageMoveTask',
        'sqs:ListMessageMoveTasks',
        'sqs:CancelMessageMoveTask',
      ).combine(grantQueue(queue, grantee, 'sqs:SendMessage', 'sqs:GetQueueAttributes'));
    const granted = redrive(this);
    return this.contexts ? granted.combine(redrive(this.contexts)) : granted;
  }

  /**
   * Permits a backend to say where a login came from, by `user.login_context`: to send to the queue of contexts, and nothing
   * else. Fails where there is none.
   */
  public grantSendContext(grantee: iam.IGrantable): iam.Grant {
    return grantSend(this.contextQueue, grantee);
  }

  /** Permits to read the trigger's log, and `user-sync replay` of what is in it, and of files of AWS's records. */
  public grantReplay(grantee: iam.IGrantable): iam.Grant {
    const send = (queue: sqs.IQueue) =>
      grantQueue(queue, grantee, 'sqs:SendMessage', 'sqs:GetQueueAttributes');
    const granted = this.triggerFunction.logGroup
      .grant(grantee, 'logs:FilterLogEvents', 'logs:GetLogEvents')
      .combine(send(this.queue));
    return this.contextQueue ? granted.combine(send(this.contextQueue)) : granted;
  }

  /** Permits `user-sync triggers hold`. Fails where the triggers are not kept. */
  public grantHold(grantee: iam.IGrantable): iam.Grant {
    if (this.triggersParameter) return permitParameter(this.triggersParameter, grantee);
    throw new Error(
      'CognitoUserSync: there is nothing to hold: triggers is not PoolTriggers.attach({ keep: true })',
    );
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

  /** Users, rows and memberships that a repair would change; by default the most of a day. Fails where there is no drift check. */
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
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.HTTPS, 'HTTPS, to AWS');
    for (const { connections, port } of new Set([database, database.owner])) {
      if (connections)
        group.connections.allowTo(connections, ec2.Port.tcp(port), 'PostgreSQL, for user-sync');
      else group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(port), 'PostgreSQL');
    }
    return group;
  }

  private queues(): Queues {
    const { batchingWindow, maxReceiveCount, removalPolicy } = this.settings;
    const { encryptionKey } = this.props;
    // "Configuring an Amazon SQS queue to use with Lambda": six times the timeout, and the window.
    const visibilityTimeout = Duration.seconds(6 * CONSUMER_TIMEOUT.toSeconds() + batchingWindow.toSeconds());
    return queues(this, { visibilityTimeout, maxReceiveCount, encryptionKey, removalPolicy });
  }

  private contextQueues(): Queues {
    const { maxReceiveCount, removalPolicy } = this.settings;
    const { encryptionKey } = this.props;
    const consumerTimeout = CONSUMER_TIMEOUT;
    return contextQueues(this, { consumerTimeout, maxReceiveCount, encryptionKey, removalPolicy });
  }

  private trigger(keepLog: boolean): lambda.Function {
    const options = this.settings.triggers.attachOptions;
    const keys = clientMetadata(this.props.clientMetadataKeys);
    const { referralCodeAttribute } = this.props;
    if (referralCodeAttribute !== undefined && !/^[^\s\p{Cc}]{1,128}$/u.test(referralCodeAttribute))
      refuse(
        'referralCodeAttribute',
        referralCodeAttribute,
        "an attribute's name, such as custom:referral_code",
      );
    const made = this.programs.function(this, 'Trigger', {
      program: 'user-sync-trigger',
      description: 'PostConfirmation and PostAuthentication of the user pool: each event onto the queue',
      // Cognito waits no longer ("Customizing user pool workflows with Lambda triggers").
      timeout: Duration.seconds(5),
      memorySize: 256,
      environment: {
        USER_SYNC_QUEUE_URL: this.queue.queueUrl,
        ...(keys && { USER_SYNC_CLIENT_METADATA_KEYS: keys }),
        ...(referralCodeAttribute && { USER_SYNC_REFERRAL_CODE_ATTRIBUTE: referralCodeAttribute }),
        ...chains(options),
      },
      keepLog,
      // What could not be sent is in the log.
      logKey: this.props.encryptionKey,
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

  private attachTriggers(): Attached | undefined {
    const { userPool } = this.props;
    const { triggerFunction } = this;
    const options = this.settings.triggers.attachOptions;
    // Of a pool in another stack, each stack would wait for the other.
    if (options && userPool instanceof cognito.UserPool && Stack.of(userPool) === Stack.of(this))
      return this.ownTriggers(userPool, options);
    const permission = new lambda.CfnPermission(this, 'TriggerPermission', {
      action: 'lambda:InvokeFunction',
      functionName: triggerFunction.functionArn,
      principal: 'cognito-idp.amazonaws.com',
      sourceArn: userPool.userPoolArn,
    });
    if (!options) {
      new CfnOutput(this, 'TriggerFunctionArn', {
        description: "Set this function as the user pool's PostConfirmation and PostAuthentication trigger",
        value: triggerFunction.functionArn,
      });
      return undefined;
    }
    const attachment = { userPool, triggerFunction, options };
    const resource = poolTriggers(this, this.programs, attachment, false);
    resource.node.addDependency(permission);
    return { attachment, resource };
  }

  /** The triggers of a pool of this stack, which sign-ins may use while it is deployed, and after it is gone. */
  private ownTriggers(userPool: cognito.UserPool, options: AttachOptions): Attached {
    const { triggerFunction } = this;
    this.addTrigger(userPool, cognito.UserPoolOperation.POST_CONFIRMATION, 'chainPostConfirmation');
    this.addTrigger(userPool, cognito.UserPoolOperation.POST_AUTHENTICATION, 'chainPostAuthentication');
    // What CDK permits names the pool, and so comes after it: a pool that is in use would meanwhile call a function
    // that it may not call, and nobody could sign in.
    const permission = new lambda.CfnPermission(this, 'TriggerPermission', {
      action: 'lambda:InvokeFunction',
      functionName: triggerFunction.functionArn,
      principal: 'cognito-idp.amazonaws.com',
      sourceAccount: Aws.ACCOUNT_ID,
      sourceArn: Stack.of(this).formatArn({
        service: 'cognito-idp',
        resource: 'userpool',
        resourceName: '*',
      }),
    });
    userPool.node.addDependency(permission);
    const made = userPool.node.defaultChild as cognito.CfnUserPool;
    // What is chained may not be put back, since it never was this pool's.
    const smsRole = options.smsRole ?? this.smsRole(made);
    const senderKey = options.senderKey ?? this.senderKey(made);
    const attachment = { userPool, triggerFunction, options: { smsRole, senderKey, keep: options.keep } };
    // A pool that outlives the stack would go on calling a function that is gone.
    const endsWithPool = made.cfnOptions.deletionPolicy === CfnDeletionPolicy.DELETE;
    if (endsWithPool && options.keep) {
      // Without the construct, CloudFormation takes the triggers away while the keeper is still there, which may put them
      // back; of such a pool nobody takes them away again.
      throw new Error(
        'CognitoUserSync: PoolTriggers.attach({ keep: true }) cannot be had of a pool that is deleted with its stack: ' +
          'whoever takes the construct out of the stack could leave the pool with a function that is gone, and nobody ' +
          'could sign in; give the pool removalPolicy: RemovalPolicy.RETAIN, or leave keep out',
      );
    }
    const resource = poolTriggers(this, this.programs, attachment, endsWithPool);
    resource.node.addDependency(userPool);
    return { attachment, resource };
  }

  /**
   * Looks when the pool is changed, and with each heartbeat; puts back what is missing, if that is asked for. Not before
   * the triggers are there: the first deployment would look at a pool without, and call for help.
   */
  private watchTriggers({ attachment, resource }: Attached, heartbeat: events.Rule): Keeper | undefined {
    const { lifecycleFunction, lifecycleFailures: deadLetterQueue } = this;
    const kept = attachment.options.keep ? keeper(this, this.programs, attachment, resource) : undefined;
    const looks = poolChanges(this, attachment.userPool, [
      new targets.LambdaFunction(lifecycleFunction, { deadLetterQueue }),
      // Its schedule is what comes after what it did not get.
      ...(kept ? [new targets.LambdaFunction(kept.keeperFunction)] : []),
    ]);
    const keeps = kept && schedule(this, 'Keep', EVERY_5_MINUTES, kept.keeperFunction, { keep: true });
    for (const rule of [heartbeat, looks, keeps]) rule?.node.addDependency(resource);
    return kept;
  }

  /** The role with which a pool of this stack sends SMS, which CDK makes itself. */
  private smsRole(pool: cognito.CfnUserPool): iam.IRole | undefined {
    const sms = Stack.of(this).resolve(pool.smsConfiguration)?.snsCallerArn;
    return sms && iam.Role.fromRoleArn(this, 'SmsRole', Token.asString(sms), { mutable: false });
  }

  /** The key of the custom senders of a pool of this stack. */
  private senderKey(pool: cognito.CfnUserPool): kms.IKey | undefined {
    const key = Stack.of(this).resolve(pool.lambdaConfig)?.kmsKeyId;
    return key && kms.Key.fromKeyArn(this, 'SenderKey', Token.asString(key));
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

  /** Credentials in RDS's JSON form, which hosted rotation reads too. */
  private secret(id: string, username: string): secretsmanager.Secret {
    const { database, databaseName, encryptionKey } = this.props;
    // Rotation sets the password where it is kept: a proxy would not let the new one in.
    const { host, port } = database.owner;
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
    if (!this.settings.auth.rotateAfter) {
      Validations.of(secret).acknowledge({
        id: 'AwsSolutions-SMG4',
        reason: 'Rotation is asked for by DatabaseAuth.secret({ rotateAfter }).',
      });
    }
    return secret;
  }

  private rotate(migration?: CustomResource): void {
    const { rotateAfter } = this.settings.auth;
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
  private endpoints(): IConstruct[] {
    const { auth, runsMigrations, driftInterval, fargate } = this.settings;
    const { vpc, vpcSubnets } = this.network;
    const services = ec2.InterfaceVpcEndpointAwsService;
    const needed: Record<string, ec2.InterfaceVpcEndpointAwsService> = {
      Sqs: services.SQS,
      ...((runsMigrations || auth.usesSecrets) && { SecretsManager: services.SECRETS_MANAGER }),
      ...(driftInterval && { Cognito: services.COGNITO_IDP }),
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
    const { database, databaseName, schema, rolePrefix } = this.props;
    const { auth, retentionDays, recordRetentionDays } = this.settings;
    const adminSecret = database.owner.adminSecret!;
    const made = this.programs.function(this, 'Migrator', {
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
        ...(recordRetentionDays !== undefined && {
          USER_SYNC_RECORD_RETENTION_DAYS: String(recordRetentionDays),
        }),
        // The logins that it makes, whatever it is asked.
        USER_SYNC_LOGINS_AUTH: auth.usesSecrets ? 'secret' : 'iam',
        USER_SYNC_CONSUMER_LOGIN: auth.consumerUser,
        USER_SYNC_READER_LOGIN: auth.readerUser,
        ...(this.consumerSecret && { USER_SYNC_CONSUMER_SECRET_ARN: this.consumerSecret.secretArn }),
        ...(this.readerSecret && { USER_SYNC_READER_SECRET_ARN: this.readerSecret.secretArn }),
      },
      network: this.network,
      layers: [this.layer()],
    });
    const maintain = { retentionDays, monthsAhead: 3 };
    schedule(this, 'Maintenance', events.Schedule.rate(Duration.days(1)), made, { maintain });
    adminSecret.grantRead(made);
    this.consumerSecret?.grantRead(made);
    this.readerSecret?.grantRead(made);
    return made;
  }

  private migration(migrator: lambda.Function, reachable: IConstruct[]): CustomResource {
    const provider = this.programs.provider(this, 'MigrationProvider', migrator);
    const { auth } = this.settings;
    const migration = new CustomResource(this, 'Migration', {
      serviceToken: provider.serviceToken,
      resourceType: 'Custom::UserSyncSchema',
      properties: {
        Auth: auth.usesSecrets ? 'secret' : 'iam',
        ConsumerUser: auth.consumerUser,
        ConsumerSecretArn: this.consumerSecret?.secretArn,
        ReaderUser: auth.readerUser,
        ReaderSecretArn: this.readerSecret?.secretArn,
        // Another schema or prefix is migrated at once, not with the next build.
        Schema: this.props.schema,
        RolePrefix: this.props.rolePrefix,
        Code: this.programs.fingerprint('user-sync-operator'),
      },
    });
    const groups = this.props.database.owner.connections?.securityGroups ?? [];
    migration.node.addDependency(...reachable, ...this.props.database.owner._dependencies, ...groups);
    return migration;
  }

  /** What a program needs to log in as one user, and the rights for it. */
  private login(
    grantee: iam.IGrantable,
    user: string,
    secret?: secretsmanager.ISecret,
  ): Record<string, string> {
    const { database, databaseName, schema } = this.props;
    if (!secret) {
      database.grantConnect(grantee, user);
      return { ...database._environment(databaseName, schema, user), USER_SYNC_DATABASE_AUTH: 'iam' };
    }
    secret.grantRead(grantee);
    return {
      ...database._environment(databaseName, schema),
      USER_SYNC_DATABASE_AUTH: 'secret',
      USER_SYNC_DATABASE_SECRET_ARN: secret.secretArn,
    };
  }

  private addLogin(target: lambda.Function, user: string, secret?: secretsmanager.ISecret): void {
    for (const [name, value] of Object.entries(this.login(target, user, secret)))
      target.addEnvironment(name, value);
  }

  private consumerLambda(): lambda.Function {
    const { consumerMemorySize: memorySize, batchSize, batchingWindow, maximumConcurrency } = this.settings;
    const made = this.programs.function(this, 'Consumer', {
      program: 'user-sync-consumer',
      description: 'Applies events from the queue to the database, each exactly once',
      timeout: CONSUMER_TIMEOUT,
      memorySize,
      environment: {
        USER_SYNC_QUEUE_URL: this.queue.queueUrl,
        USER_SYNC_DLQ_URL: this.deadLetterQueue.queueUrl,
        USER_SYNC_USER_POOL_ID: this.props.userPool.userPoolId,
        ...contextEnvironment(this.contexts),
      },
      network: this.network,
      layers: [this.layer()],
    });
    this.addLogin(made, this.settings.auth.consumerUser, this.consumerSecret);
    this.grantConsume(made);
    new lambda.EventSourceMapping(this, 'Mapping', {
      target: made,
      eventSourceArn: this.queue.queueArn,
      batchSize,
      maxBatchingWindow: batchingWindow,
      maxConcurrency: maximumConcurrency,
      reportBatchItemFailures: true,
    });
    if (this.contextQueue) mapRecords(this, 'ContextMapping', this.contextQueue, made, batchSize);
    return made;
  }

  private grantConsume(grantee: iam.IGrantable): void {
    for (const { queue, deadLetterQueue } of [this, ...(this.contexts ? [this.contexts] : [])]) {
      grantQueue(queue, grantee, ...CONSUME);
      grantQueue(deadLetterQueue, grantee, 'sqs:SendMessage');
    }
  }

  private worker(options: FargateComputeOptions, metricsService: string): ecs.FargateService {
    const { vpc, vpcSubnets, securityGroup } = this.network;
    const isArm = this.settings.architecture === lambda.Architecture.ARM_64;
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
        USER_SYNC_BATCH_SIZE: String(this.settings.batchSize),
        USER_SYNC_CONCURRENCY: String(options.concurrency ?? 2),
        USER_SYNC_EMF_SERVICE: metricsService,
        USER_SYNC_USER_POOL_ID: this.props.userPool.userPoolId,
        USER_SYNC_METRICS_ADDR: HEALTH_ADDRESS,
        ...contextEnvironment(this.contexts),
        ...this.login(task.taskRole, this.settings.auth.consumerUser, this.consumerSecret),
      },
      logging: ecs.LogDriver.awsLogs({
        logGroup: this.programs.logGroup(this, 'WorkerLog'),
        streamPrefix: 'worker',
      }),
      // ECS replaces a task whose loops make no progress. It does not read the image's own health check.
      healthCheck: {
        command: ['CMD', 'user-sync', 'health'],
        interval: Duration.seconds(30),
        timeout: Duration.seconds(5),
        retries: 3,
        startPeriod: Duration.seconds(60),
      },
      readonlyRootFilesystem: true,
      // A batch under way is finished first, or returns to the queue.
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
    // Whose triggers are set by hand may have functions of their own there, which call ours.
    const watchesTriggers = this.settings.triggers.attachOptions !== undefined;
    const made = this.programs.function(this, 'Lifecycle', {
      program: 'user-sync-lifecycle',
      description: 'Sends a heartbeat every 5 minutes, and what happens to users beside sign-ins',
      // 20 s to read the user, 10 s to publish.
      timeout: Duration.seconds(45),
      memorySize: 256,
      environment: {
        USER_SYNC_QUEUE_URL: this.queue.queueUrl,
        USER_SYNC_USER_POOL_ID: userPool.userPoolId,
        ...(watchesTriggers && { USER_SYNC_TRIGGER_ARN: this.triggerFunction.functionArn }),
      },
      onFailure: { bind: () => ({ destination: failures.queueArn }) },
      reservedConcurrentExecutions: this.settings.lifecycleConcurrency,
    });
    grantQueue(failures, made, 'sqs:SendMessage');
    grantQueue(this.queue, made, 'sqs:SendMessage');
    const permit = (...actions: string[]) =>
      made.addToRolePolicy(new iam.PolicyStatement({ actions, resources: [userPool.userPoolArn] }));
    if (watchesTriggers) permit('cognito-idp:DescribeUserPool');
    if (this.settings.lifecycle) {
      // A call with an access token names a client, and no pool.
      permit('cognito-idp:ListUsers', 'cognito-idp:ListUserPoolClients');
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

  /** Reads AWS's records, if any source is asked for. Consumers know its types of events before it sends any. */
  private signInRecords(): SignInRecords | undefined {
    const { sources, removalPolicy } = this.settings;
    const { contextQueue } = this;
    if (!sources || !contextQueue) return undefined;
    const { userPool, encryptionKey } = this.props;
    const props = { sources, userPool, contextQueue, encryptionKey, removalPolicy };
    const records = signInRecords(this, this.programs, props);
    records.recordsFunction.node.addDependency(this.consumer);
    return records;
  }

  private auditLambda(migration?: CustomResource): lambda.Function {
    const { userPool, endpoints } = this.props;
    // There is no way to Systems Manager where there are only the endpoints.
    const triggersParameter = endpoints ? undefined : this.triggersParameter;
    const { network } = this;
    const layer = this.layer();
    const made = auditFunction(this, this.programs, { userPool, network, layer, triggersParameter });
    this.addLogin(made, this.settings.auth.readerUser, this.readerSecret);
    if (migration) made.node.addDependency(migration);
    return made;
  }

  private driftLambda(interval: Duration, migration?: CustomResource): lambda.Function {
    const { userPool } = this.props;
    const made = this.programs.function(this, 'Drift', {
      program: 'user-sync-operator',
      description: 'Compares the user pool with the table, and changes neither',
      timeout: Duration.minutes(15),
      memorySize: 512,
      environment: {
        USER_SYNC_OPERATION: 'drift',
        USER_SYNC_USER_POOL_ID: userPool.userPoolId,
        // A comparison that is older gives up: the schedule has begun the next one.
        USER_SYNC_DRIFT_INTERVAL_SECONDS: String(interval.toSeconds()),
      },
      network: this.network,
      layers: [this.layer()],
      onSuccess: new EventBridgeDestination(),
      // Lambda ends the loops that it sees after 16 rounds, and a large pool takes more.
      recursiveLoop: lambda.RecursiveLoop.ALLOW,
    });
    goOn(this, made);
    this.addLogin(made, this.settings.auth.readerUser, this.readerSecret);
    made.addToRolePolicy(
      new iam.PolicyStatement({
        actions: [
          'cognito-idp:ListUsers',
          'cognito-idp:DescribeUserPool',
          'cognito-idp:ListGroups',
          'cognito-idp:ListUsersInGroup',
        ],
        resources: [userPool.userPoolArn],
      }),
    );
    if (migration) made.node.addDependency(migration);
    schedule(this, 'DriftCheck', events.Schedule.rate(interval), made, { drift: true });
    return made;
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

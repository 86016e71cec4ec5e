/** Makes every part of a deployment, each after what it needs. */
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import { Construct } from 'constructs';
import { AttachOptions, PoolTriggers } from './attach-options';
import { Certificates } from './certificates';
import {
  checkProps,
  hasContextQueue,
  heartbeatInterval,
  lifecycleConcurrency,
  retention,
  runsMigrations,
} from './checks';
import { claimTrigger } from './claims';
import { CommandTask } from './command-task';
import { UserSyncCompute } from './compute';
import { Console } from './console-service';
import { BoundConsumer, ConsumerProps } from './consumer';
import { Contexts } from './contexts';
import { DatabaseAuth } from './database-auth';
import { DeploymentCheck } from './deployment-check';
import { Drift } from './drift';
import { DriftCheck } from './drift-check';
import { Lifecycle } from './lifecycle';
import { rolePrefix } from './limits';
import { Sources, sources } from './login-context';
import { Logins } from './logins';
import { Monitoring } from './monitoring/monitoring';
import { Network } from './network';
import { PoolAttachment } from './pool-triggers';
import { Programs } from './programs';
import { CognitoUserSyncProps } from './props';
import { Queues } from './queues';
import { Rows } from './rows';
import { Schema } from './schema';
import { TriggerKeeper } from './trigger-keeper';
import { UserSyncTrigger } from './user-sync-trigger';
import { watched } from './watching';

/** The parts, each a construct of its own below the whole. */
export class Parts {
  public readonly userPool: cognito.IUserPool;
  public readonly trigger: UserSyncTrigger;
  public readonly queues: Queues;
  public readonly contexts?: Contexts;
  public readonly poolTriggers: PoolAttachment;
  public readonly network: Network;
  public readonly logins: Logins;
  public readonly schema?: Schema;
  public readonly consumer: BoundConsumer;
  public readonly lifecycle: Lifecycle;
  public readonly keeper?: TriggerKeeper;
  public readonly rows?: Rows;
  public readonly driftCheck: DriftCheck;
  public readonly drift?: Drift;
  public readonly commandTask?: CommandTask;
  public readonly console?: Console;
  public readonly monitoring: Monitoring;
  public readonly deploymentCheck?: DeploymentCheck;

  private readonly programs: Programs;
  private readonly certificates: Certificates;
  private readonly compute: UserSyncCompute;
  private readonly sources?: Sources;
  private readonly attachOptions?: AttachOptions;

  constructor(
    private readonly scope: Construct,
    private readonly props: CognitoUserSyncProps,
  ) {
    checkProps(scope, props);
    this.userPool = props.userPool;
    this.programs = new Programs(props);
    this.certificates = new Certificates(scope, 'Certificates', props.certificateAuthorities);
    this.compute = props.compute ?? UserSyncCompute.lambda();
    this.sources = sources(props.loginContext);
    this.attachOptions = (props.triggers ?? PoolTriggers.attach()).attachOptions;
    this.driftCheck = props.driftCheck ?? DriftCheck.daily();

    this.trigger = props.trigger ?? this.ownTrigger();
    claimTrigger(scope, this.trigger, this.userPool);
    this.queues = this.trigger._queues!;
    if (hasContextQueue(props, this.sources)) this.contexts = this.contextQueues();
    this.poolTriggers = this.attach();
    this.network = new Network(scope, 'Network', props);
    this.logins = this.bindLogins();
    if (runsMigrations(props)) this.schema = this.migrate();
    this.logins.rotate(this.network, this.schema?.migration);
    const consumerProps = this.consumerProps();
    this.consumer = this.compute._bind(scope, consumerProps);
    // The tables are those that the consumer's code knows, before it runs.
    if (this.schema) this.consumer.construct.node.addDependency(this.schema.migration);
    this.lifecycle = this.follow();
    if (this.attachOptions?.keep) this.keeper = this.keep();
    if (this.poolTriggers.resource)
      this.lifecycle.watchPool(this.poolTriggers.resource, this.keeper?.keeperFunction);
    if (this.asksRows) this.rows = new Rows(scope, 'Rows', this.reading());
    if (this.driftCheck.interval) this.drift = this.compare(this.driftCheck.interval, this.rows!);
    if (this.sources) this.readRecords(this.sources);
    const task = { consumer: consumerProps, parts: this, encryptionKey: props.encryptionKey };
    if (props.commandTask) this.commandTask = new CommandTask(scope, 'CommandTask', task, props.commandTask);
    this.console = props.console?._bind(scope, { consumer: consumerProps, parts: this });
    this.monitoring = this.monitor();
    if (props.deploymentCheck) this.deploymentCheck = this.check(this.rows!);
  }

  /** The queue of sign-ins, and that of contexts where there is one, each with its dead-letter queue. */
  public get allQueues(): Queues[] {
    return this.contexts ? [this.queues, this.contexts] : [this.queues];
  }

  private get asksRows(): boolean {
    return this.driftCheck.interval !== undefined || this.props.deploymentCheck === true;
  }

  private ownTrigger(): UserSyncTrigger {
    const { chainPostConfirmation, chainPostAuthentication } = this.attachOptions ?? {};
    return new UserSyncTrigger(this.scope, 'Trigger', {
      ...this.props,
      maxReceiveCount: this.props.maxReceiveCount ?? this.compute._queue.maxReceiveCount,
      visibilityTimeout: this.compute._queue.visibilityTimeout,
      chainPostConfirmation,
      chainPostAuthentication,
    });
  }

  private contextQueues(): Contexts {
    const { programs, userPool } = this;
    const { encryptionKey, removalPolicy = RemovalPolicy.RETAIN } = this.props;
    const maxReceiveCount = this.props.maxReceiveCount ?? this.compute._queue.maxReceiveCount;
    const contexts = { programs, userPool, maxReceiveCount, encryptionKey, removalPolicy };
    return new Contexts(this.scope, 'Contexts', contexts);
  }

  private attach(): PoolAttachment {
    const { programs, userPool, trigger, attachOptions: options } = this;
    return new PoolAttachment(this.scope, 'PoolTriggers', { programs, userPool, trigger, options });
  }

  private bindLogins(): Logins {
    const { database, databaseName, schema, encryptionKey } = this.props;
    const prefix = rolePrefix('rolePrefix', this.props.rolePrefix ?? 'user_sync');
    const hasReader = runsMigrations(this.props) || this.asksRows || this.sources !== undefined;
    const hasConsole = this.props.console !== undefined;
    const logins = { database, databaseName, schema, prefix, encryptionKey, hasReader, hasConsole };
    return (this.props.auth ?? DatabaseAuth.iam())._bind(this.scope, logins);
  }

  private migrate(): Schema {
    const { programs, network, certificates, logins, props } = this;
    const { database, databaseName, schema, rolePrefix: prefix } = props;
    const tables = { database, databaseName, schema, rolePrefix: prefix, retention: retention(props) };
    return new Schema(this.scope, 'Schema', { programs, network, certificates, logins, ...tables });
  }

  private consumerProps(): ConsumerProps {
    const { programs, network, certificates, queues, contexts } = this;
    const environment = { USER_SYNC_USER_POOL_ID: this.userPool.userPoolId };
    const login = this.logins.consumer;
    return { programs, network, certificates, queues, contexts, environment, login };
  }

  private follow(): Lifecycle {
    const { programs, userPool, poolTriggers, props } = this;
    const lifecycle = new Lifecycle(this.scope, 'Lifecycle', {
      programs,
      userPool,
      queue: this.queues.queue,
      heartbeatInterval: heartbeatInterval(props),
      followsUsers: props.lifecycle ?? true,
      concurrency: lifecycleConcurrency(props),
      triggerFunction: poolTriggers.resource && this.trigger.triggerFunction,
      attached: poolTriggers.resource,
    });
    // Consumers know its new types of events before it sends any.
    lifecycle.lifecycleFunction.node.addDependency(this.consumer.construct);
    return lifecycle;
  }

  private keep(): TriggerKeeper {
    const { programs, poolTriggers } = this;
    const { attachment, resource } = poolTriggers;
    return new TriggerKeeper(this.scope, 'TriggerKeeper', {
      programs,
      attachment: attachment!,
      resource: resource!,
    });
  }

  /** What reads rows in the VPC. */
  private reading() {
    const { programs, network, certificates } = this;
    const login = this.logins.reader;
    network.functionsNeed(...login.needs);
    return { programs, network, certificates, login, migration: this.schema?.migration };
  }

  private compare(interval: Duration, { rowsFunction }: Rows): Drift {
    const { programs, userPool } = this;
    return new Drift(this.scope, 'Drift', { programs, userPool, rowsFunction, interval });
  }

  private readRecords(read: Sources): void {
    // There is no endpoint to Systems Manager.
    const triggersParameter = this.network.isClosed() ? undefined : this.keeper?.parameter;
    const audit = { ...this.reading(), userPool: this.userPool, triggersParameter };
    this.contexts!.read(read, this.consumer.construct, audit);
  }

  private monitor(): Monitoring {
    const { alarmActions, alarmThresholds: thresholds } = this.props;
    const interval = heartbeatInterval(this.props);
    const monitored = { watched: watched(this), alarmActions, thresholds, heartbeatInterval: interval };
    return new Monitoring(this.scope, 'Monitoring', monitored);
  }

  private check({ rowsFunction }: Rows): DeploymentCheck {
    const { programs, queues, consumer } = this;
    const after = [...this.scope.node.children];
    const consumerLog = consumer.logGroup;
    return new DeploymentCheck(this.scope, 'DeploymentCheck', {
      programs,
      queues,
      rowsFunction,
      consumerLog,
      way: this.way(),
      after,
    });
  }

  /** From the queue to the table. */
  private way(): Record<string, unknown> {
    const { database, databaseName, schema, rolePrefix, vpc, vpcSubnets } = this.props;
    const { consumerService } = this.consumer;
    return {
      Consumer:
        consumerService?.taskDefinition.taskDefinitionArn ?? this.programs.fingerprint('user-sync-consumer'),
      Database: [database.host, database.port, databaseName, schema, rolePrefix],
      Login: this.logins.consumerSecret ? 'secret' : 'iam',
      Subnets: vpc.selectSubnets(vpcSubnets).subnetIds,
    };
  }
}

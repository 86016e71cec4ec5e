/** What a deployment is to those who use it: its parts by name, its metrics, and what others may do with it. */
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as elbv2 from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct, IConstruct } from 'constructs';
import { grantOperate, grantRedrive, grantReplay, grantSend } from './grants';
import { Metrics } from './monitoring/metrics';
import { Parts } from './parts';
import { CognitoUserSyncProps } from './props';
import { permitParameter } from './trigger-keeper';
import { UserSyncTrigger } from './user-sync-trigger';

/**
 * Keeps every user of an Amazon Cognito user pool as a row in your PostgreSQL, with exact login counts, and
 * without a database write in any request path.
 */
export class CognitoUserSync extends Construct implements ec2.IConnectable {
  /** The trigger and its queue: the one that was given, or its own. */
  public readonly trigger: UserSyncTrigger;

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

  /** The role of the function that sets the pool's triggers, unless they are set by hand. */
  public readonly poolTriggersRole?: iam.IRole;

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

  /** The function that answers what the rows say, for the drift check and the deployment check. */
  public readonly rowsFunction?: lambda.Function;

  /** The function that compares the pool with the table, if there is one. */
  public readonly driftFunction?: lambda.Function;

  /** The one-off task in which commands run, with `commandTask`. */
  public readonly commandTaskDefinition?: ecs.FargateTaskDefinition;

  /** The console, with `console`; its `connections` are let in by the database, as those below. */
  public readonly consoleService?: ecs.FargateService;

  /** What the console's host name must lead to, with `console`. */
  public readonly consoleLoadBalancer?: elbv2.ApplicationLoadBalancer;

  /** The function that counts what the console's analytics show, with `console`. */
  public readonly dailyFunction?: lambda.Function;

  /** The network side of whatever connects to the database. */
  public readonly connections: ec2.Connections;

  /** The secret of the consumer's login, with `DatabaseAuth.secret`. */
  public readonly consumerSecret?: secretsmanager.ISecret;

  /** The secret of the reader's login, with `DatabaseAuth.secret`. */
  public readonly readerSecret?: secretsmanager.ISecret;

  /** The secret of the console's login, with `DatabaseAuth.secret` and `console`. */
  public readonly consoleSecret?: secretsmanager.ISecret;

  /** How all is going. */
  public readonly dashboard: cloudwatch.Dashboard;

  /** Each way in which users could stop being synced. */
  public readonly alarms: cloudwatch.Alarm[];

  private readonly parts: Parts;
  private readonly metrics: Metrics;

  constructor(scope: Construct, id: string, props: CognitoUserSyncProps) {
    super(scope, id);
    const parts = new Parts(this, props);
    this.parts = parts;
    this.trigger = parts.trigger;
    this.queue = parts.queues.queue;
    this.deadLetterQueue = parts.queues.deadLetterQueue;
    this.contextQueue = parts.contexts?.queue;
    this.contextDeadLetterQueue = parts.contexts?.deadLetterQueue;
    this.recordsFunction = parts.contexts?.records?.recordsFunction;
    this.auditFunction = parts.contexts?.audit?.auditFunction;
    this.triggerFunction = parts.trigger.triggerFunction;
    this.poolTriggersRole = parts.poolTriggers.role;
    this.consumer = parts.consumer.construct;
    this.consumerFunction = parts.consumer.consumerFunction;
    this.consumerService = parts.consumer.consumerService;
    this.migrator = parts.schema?.migrator;
    this.lifecycleFunction = parts.lifecycle.lifecycleFunction;
    this.lifecycleFailures = parts.lifecycle.failures;
    this.triggerKeeper = parts.keeper?.keeperFunction;
    this.triggersParameter = parts.keeper?.parameter;
    this.rowsFunction = parts.rows?.rowsFunction;
    this.driftFunction = parts.drift?.driftFunction;
    this.commandTaskDefinition = parts.commandTask?.taskDefinition;
    this.consoleService = parts.console?.service;
    this.consoleLoadBalancer = parts.console?.loadBalancer;
    this.dailyFunction = parts.console?.daily.dailyFunction;
    this.connections = parts.network.securityGroup.connections;
    this.consumerSecret = parts.logins.consumerSecret;
    this.readerSecret = parts.logins.readerSecret;
    this.consoleSecret = parts.logins.consoleSecret;
    this.metrics = parts.monitoring.metrics;
    this.alarms = parts.monitoring.alarms;
    this.dashboard = parts.monitoring.dashboard;
  }

  /** Permits `user-sync dlq` in all its forms: list, show, redrive, drop. Of contexts, too, where there is a queue of them. */
  public grantRedrive(grantee: iam.IGrantable): iam.Grant {
    return grantRedrive(this.parts.allQueues, grantee);
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
    return grantReplay(this.trigger.logGroup, this.parts.allQueues, grantee);
  }

  /** Permits `user-sync triggers hold`. Fails where the triggers are not kept. */
  public grantHold(grantee: iam.IGrantable): iam.Grant {
    if (this.triggersParameter) return permitParameter(this.triggersParameter, grantee);
    throw new Error(
      'CognitoUserSync: there is nothing to hold: triggers is not PoolTriggers.attach({ keep: true })',
    );
  }

  /**
   * Permits whoever is on call what docs/runbook.md asks for but the login of the database: `doctor`, `verify`, `reconcile`,
   * `dlq`, `replay`, `triggers hold` where the triggers are kept, to ask for a drift check, and with `commandTask` to run
   * commands in it and to read what they print.
   */
  public grantOperate(grantee: iam.IGrantable): iam.Grant {
    return grantOperate(this.parts, grantee);
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
}

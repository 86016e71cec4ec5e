/** The console's load balancer, which signs people in, and the one task behind it; the tables that its analytics read. */
import { Aws, CfnOutput, Duration, Stack, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as elbv2 from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { Construct } from 'constructs';
import type { FargateConsoleOptions } from './console';
import { checkConsole } from './console-checks';
import { ConsoleRight, grantConsole } from './console-rights';
import { consumerEnvironment, ConsumerProps } from './consumer';
import { Daily } from './daily';
import { UserSyncDatabase } from './database';
import { SMALLEST } from './fargate-sizes';
import type { Parts } from './parts';
import { acknowledgeTask, bindRole, clusterIn, runtimePlatform } from './tasks';
import { workerImage } from './worker-image';

/** Where the console listens, for the load balancer alone. */
const PORT = 8_787;

/** What the console is given. */
export interface ConsoleProps {
  /** What the consumer is given: the console sees its queues. */
  readonly consumer: ConsumerProps;
  /** The deployment that it shows. */
  readonly parts: Parts;
}

/** The service, its load balancer, and the function that counts the days. */
export class Console extends Construct {
  public readonly service: ecs.FargateService;
  public readonly loadBalancer: elbv2.ApplicationLoadBalancer;
  public readonly daily: Daily;

  private readonly vpcSubnets?: ec2.SubnetSelection;
  private readonly mayAct: boolean;
  private readonly replica?: UserSyncDatabase;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: ConsoleProps,
    private readonly options: FargateConsoleOptions,
  ) {
    super(scope, id);
    const { consumer, parts } = props;
    const migration = parts.schema?.migration;
    const { hostName, signIn } = options;
    this.vpcSubnets = options.vpcSubnets ?? consumer.network.vpcSubnets;
    this.mayAct = options.allow?.includes(ConsoleRight.ACT) ?? false;
    if (options.replica) this.replica = UserSyncDatabase.fromAttributes(options.replica);
    checkConsole(parts, consumer.network, options);
    this.node.addValidation({ validate: () => signIn._faults(this, hostName, this.claim) });
    this.loadBalancer = this.front();
    this.service = this.serve(this.task());
    this.listen();
    if (migration) this.service.node.addDependency(migration);
    this.daily = new Daily(this, 'Daily', { ...consumer, migration });
    new CfnOutput(this, 'ConsoleUrl', { description: 'The console', value: `https://${hostName}` });
    const description = `Where ${hostName} must lead to`;
    new CfnOutput(this, 'ConsoleLoadBalancer', {
      description,
      value: this.loadBalancer.loadBalancerDnsName,
    });
  }

  private get claim(): string {
    return this.options.roles.claim ?? this.options.signIn._claim;
  }

  private front(): elbv2.ApplicationLoadBalancer {
    const { vpc } = this.props.consumer.network;
    const securityGroup = new ec2.SecurityGroup(this, 'LoadBalancerGroup', {
      vpc,
      description:
        'Is connected to by who may open the console, and connects to it and to who signs people in',
      allowAllOutbound: false,
    });
    const made = new elbv2.ApplicationLoadBalancer(this, 'LoadBalancer', {
      vpc,
      vpcSubnets: this.vpcSubnets,
      internetFacing: false,
      securityGroup,
      dropInvalidHeaderFields: true,
    });
    Validations.of(made).acknowledge({
      id: 'AwsSolutions-ELB2',
      reason:
        'The console logs each request, and writes down who did what; loadBalancer.logAccessLogs adds to it.',
    });
    return made;
  }

  /** Nobody gets by without signing in: the listener has no other action. Its health check asks the task itself. */
  private listen(): void {
    const { certificate, peers, sessionTimeout = Duration.hours(8), signIn } = this.options;
    const targets = new elbv2.ApplicationTargetGroup(this, 'Targets', {
      vpc: this.props.consumer.network.vpc,
      port: PORT,
      protocol: elbv2.ApplicationProtocol.HTTP,
      targetType: elbv2.TargetType.IP,
      targets: [this.service],
      healthCheck: { path: '/healthz', interval: Duration.seconds(15), timeout: Duration.seconds(5) },
      deregistrationDelay: Duration.seconds(30),
    });
    const listener = this.loadBalancer.addListener('Listener', {
      port: 443,
      protocol: elbv2.ApplicationProtocol.HTTPS,
      certificates: [certificate],
      sslPolicy: elbv2.SslPolicy.RECOMMENDED_TLS,
      open: false,
      defaultAction: signIn._action(elbv2.ListenerAction.forward([targets]), sessionTimeout),
    });
    for (const peer of peers) listener.connections.allowDefaultPortFrom(peer, 'Who may open the console');
  }

  private serve(taskDefinition: ecs.FargateTaskDefinition): ecs.FargateService {
    const { consumer, parts } = this.props;
    const { cluster } = this.options;
    const { network } = consumer;
    const group = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc: network.vpc,
      description: 'Is connected to by the load balancer alone, and connects to the database and to AWS',
      allowAllOutbound: false,
    });
    const ways = network.letOut(group, ...(this.replica ? [this.replica] : []));
    const theirs = parts.commandTask?.cluster ?? parts.consumer.consumerService?.cluster;
    const made = new ecs.FargateService(this, 'Service', {
      cluster: cluster ?? theirs ?? clusterIn(this, network),
      taskDefinition,
      // What is under way is in the memory of the one that does it.
      desiredCount: 1,
      vpcSubnets: this.vpcSubnets,
      securityGroups: [group],
      circuitBreaker: { rollback: true },
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
    });
    made.node.addDependency(taskDefinition.obtainExecutionRole(), ...ways);
    return made;
  }

  private task(): ecs.FargateTaskDefinition {
    const { consumer, parts } = this.props;
    const { programs, certificates } = consumer;
    const { cpu = SMALLEST.cpu, memoryLimitMiB = SMALLEST.memoryLimitMiB, image } = this.options;
    const logGroup = programs.logGroup(this, 'Log');
    const task = new ecs.FargateTaskDefinition(this, 'Task', {
      cpu,
      memoryLimitMiB,
      runtimePlatform: runtimePlatform(programs),
    });
    task.addContainer('console', {
      image: image ?? parts.consumer.image ?? workerImage(this, programs, certificates),
      command: ['console'],
      environment: {
        ...programs.environment,
        ...consumerEnvironment(consumer),
        ...this.shown(),
        ...this.entrance(),
        ...this.logIn(task),
        ...(this.mayAct && parts.commandTask?.place()),
      },
      logging: ecs.LogDriver.awsLogs({ logGroup, streamPrefix: 'console' }),
      portMappings: [{ containerPort: PORT }],
      readonlyRootFilesystem: true,
    });
    grantConsole(parts, task.taskRole, this.mayAct);
    bindRole(task);
    acknowledgeTask(task);
    return task;
  }

  /** Whose figures the pages show. */
  private shown(): Record<string, string> {
    const { consumer, trigger, lifecycle, keeper } = this.props.parts;
    const looks = [lifecycle.lifecycleFunction, ...(keeper ? [keeper.keeperFunction] : [])];
    return {
      USER_SYNC_CONSOLE_ENVIRONMENT:
        this.options.environment ?? `${Stack.of(this).stackName} · ${Aws.REGION}`,
      USER_SYNC_CONSUMER_SERVICE: consumer.metricsService,
      USER_SYNC_TRIGGER_SERVICES: trigger.triggerFunction.functionName,
      USER_SYNC_LIFECYCLE_SERVICES: looks.map(({ functionName }) => functionName).join(','),
    };
  }

  /** Who comes in, and what they may. */
  private entrance(): Record<string, string> {
    const { allow = [], hostName, nameClaim, roles, signIn } = this.options;
    const lists = {
      USER_SYNC_CONSOLE_ALLOW: allow,
      USER_SYNC_CONSOLE_OIDC_READ: roles.read,
      USER_SYNC_CONSOLE_OIDC_REVEAL: roles.reveal,
      USER_SYNC_CONSOLE_OIDC_ACT: roles.act,
    };
    const given = Object.entries(lists).filter(([, values = []]) => values.length > 0);
    return {
      USER_SYNC_CONSOLE_LISTEN: `0.0.0.0:${PORT}`,
      USER_SYNC_CONSOLE_BEHIND_TLS: hostName,
      USER_SYNC_CONSOLE_OIDC_LOAD_BALANCER: this.loadBalancer.loadBalancerArn,
      USER_SYNC_CONSOLE_OIDC_ISSUER: signIn._issuer,
      USER_SYNC_CONSOLE_OIDC_CLIENT: signIn._clientId,
      USER_SYNC_CONSOLE_OIDC_CLAIM: this.claim,
      ...(nameClaim !== undefined && { USER_SYNC_CONSOLE_OIDC_NAME: nameClaim }),
      ...Object.fromEntries(given.map(([name, values]) => [name, [...new Set(values)].join(',')])),
    };
  }

  /** At the database, and at the replica the same. */
  private logIn({ taskRole }: ecs.FargateTaskDefinition): Record<string, string> {
    const { console: login } = this.props.parts.logins;
    const variables = login.bind(taskRole);
    if (!this.replica) return variables;
    const { DATABASE_URL, ...others } = login.bind(taskRole, this.replica);
    return { ...others, ...variables, USER_SYNC_REPLICA_URL: DATABASE_URL! };
  }
}

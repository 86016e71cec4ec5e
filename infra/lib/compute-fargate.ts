/** The consumer as a service of tasks that run `user-sync worker`. */
import { Duration, Names, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct, IConstruct } from 'constructs';
import type { FargateComputeOptions } from './compute';
import { BoundConsumer, consumerEnvironment, ConsumerProps, grantConsume } from './consumer';
import { SMALLEST } from './fargate-sizes';
import { refuse } from './limits';
import { acknowledgeTask, bindRole, clusterIn, runtimePlatform, TASK_NEEDS } from './tasks';
import { workerImage } from './worker-image';

/** Where the worker says whether it is well: to its own task only. */
const HEALTH_ADDRESS = '127.0.0.1:9464';

/** The service, its task, and the cluster where none is given. */
export class FargateConsumer extends Construct implements BoundConsumer {
  public readonly construct: IConstruct;
  public readonly consumerService: ecs.FargateService;
  public readonly metricsService: string;
  public readonly logGroup: logs.ILogGroup;
  public readonly image?: ecs.ContainerImage;

  constructor(scope: Construct, id: string, props: ConsumerProps, options: FargateComputeOptions) {
    super(scope, id);
    const { vpcSubnets, securityGroup } = props.network;
    const needs = new Set([...TASK_NEEDS, ...props.login.needs]);
    this.image = options.image;
    props.network.tasksNeed('compute.assignPublicIp', options.assignPublicIp ?? false, ...needs);
    this.metricsService = `${Names.uniqueResourceName(scope, { separator: '-', maxLength: 60 })}-worker`;
    this.logGroup = props.programs.logGroup(this, 'Log');
    if (options.cluster) checkCluster(options.cluster, props.network.vpc);
    const cluster = options.cluster ?? clusterIn(this, props.network);
    const taskDefinition = this.task(props, options);
    this.consumerService = new ecs.FargateService(this, 'Service', {
      cluster,
      taskDefinition,
      desiredCount: options.desiredCount ?? 2,
      assignPublicIp: options.assignPublicIp,
      vpcSubnets,
      securityGroups: [securityGroup],
      circuitBreaker: { rollback: true },
      // Any number of workers may run at once, of either version.
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
    });
    // Of the two roles CDK waits for the task's own only; the first task needs the rights to its image and its log.
    this.consumerService.node.addDependency(taskDefinition.obtainExecutionRole());
    this.construct = this.consumerService;
  }

  private task(props: ConsumerProps, options: FargateComputeOptions): ecs.FargateTaskDefinition {
    const { programs, certificates } = props;
    const task = new ecs.FargateTaskDefinition(this, 'Task', {
      cpu: options.cpu ?? SMALLEST.cpu,
      memoryLimitMiB: options.memoryLimitMiB ?? SMALLEST.memoryLimitMiB,
      runtimePlatform: runtimePlatform(programs),
    });
    task.addContainer('worker', {
      image: options.image ?? workerImage(this, programs, certificates),
      command: ['worker'],
      environment: {
        ...programs.environment,
        ...consumerEnvironment(props),
        USER_SYNC_BATCH_SIZE: String(options.batchSize ?? 1_000),
        USER_SYNC_CONCURRENCY: String(options.concurrency ?? 2),
        USER_SYNC_EMF_SERVICE: this.metricsService,
        USER_SYNC_METRICS_ADDR: HEALTH_ADDRESS,
        ...props.login.bind(task.taskRole),
      },
      logging: ecs.LogDriver.awsLogs({ logGroup: this.logGroup, streamPrefix: 'worker' }),
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
    grantConsume(props, task.taskRole);
    bindRole(task);
    acknowledgeTask(task);
    return task;
  }
}

/** The service's tasks stand in the VPC that its cluster names. */
function checkCluster(cluster: ecs.ICluster, ours: ec2.IVpc): void {
  const theirs = vpcOf(cluster);
  // Until the CLI has looked a VPC up, its id is another.
  if ([ours, theirs].some((vpc) => vpc.selectSubnets().isPendingLookup)) return;
  const id = (vpc: ec2.IVpc) => JSON.stringify(Stack.of(vpc).resolve(vpc.vpcId));
  if (id(ours) === id(theirs)) return;
  refuse(
    'compute.cluster',
    `${cluster.node.path} of the VPC ${theirs.node.path}`,
    `one of vpc, ${ours.node.path}, where the database is reached from; or left out for one of its own`,
  );
}

function vpcOf(cluster: ecs.ICluster): ec2.IVpc {
  try {
    return cluster.vpc;
  } catch {
    return refuse(
      'compute.cluster',
      `${cluster.node.path} without a VPC`,
      'imported with it, by Cluster.fromClusterAttributes({ clusterName, vpc }); or left out for one of its own',
    );
  }
}

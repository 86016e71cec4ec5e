/** A one-off task on the worker's image, in which the commands of `user-sync` run inside the VPC. */
import { Validations } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import { Construct } from 'constructs';
import { consumerEnvironment, ConsumerProps } from './consumer';
import { runtimePlatform, workerImage } from './worker-image';

/** How the one-off task is made. */
export interface CommandTaskOptions {
  /**
   * The cluster to run in.
   *
   * @default - a cluster of its own
   */
  readonly cluster?: ecs.ICluster;

  /**
   * CPU units of the task.
   *
   * @default 256
   */
  readonly cpu?: number;

  /**
   * Memory of the task in MiB.
   *
   * @default 512
   */
  readonly memoryLimitMiB?: number;

  /**
   * Whether the task has a public address, which it needs in public subnets.
   *
   * @default false
   */
  readonly assignPublicIp?: boolean;

  /**
   * The image, as that of the worker.
   *
   * @default - built by Docker from what `make lambda` left in `code`
   */
  readonly image?: ecs.ContainerImage;
}

/** The task definition, its log, and the cluster where none is given. */
export class CommandTask extends Construct {
  /** What `aws ecs run-task` names. */
  public readonly taskDefinition: ecs.FargateTaskDefinition;

  /** Where it runs. */
  public readonly cluster: ecs.ICluster;

  constructor(scope: Construct, id: string, props: ConsumerProps, options: CommandTaskOptions) {
    super(scope, id);
    const { programs, certificates, network } = props;
    this.cluster =
      options.cluster ??
      new ecs.Cluster(this, 'Cluster', {
        vpc: network.vpc,
        containerInsightsV2: ecs.ContainerInsights.ENABLED,
      });
    const task = new ecs.FargateTaskDefinition(this, 'TaskDefinition', {
      cpu: options.cpu ?? 256,
      memoryLimitMiB: options.memoryLimitMiB ?? 512,
      runtimePlatform: runtimePlatform(programs),
    });
    task.addContainer('command', {
      image: options.image ?? workerImage(this, programs, certificates),
      command: ['doctor'],
      environment: { ...consumerEnvironment(props), ...props.login.bind(task.taskRole) },
      logging: ecs.LogDriver.awsLogs({ logGroup: programs.logGroup(this, 'Log'), streamPrefix: 'command' }),
      readonlyRootFilesystem: true,
    });
    Validations.of(task).acknowledge(
      { id: 'AwsSolutions-ECS2', reason: 'The variables hold URLs and names, and no password.' },
      {
        id: 'AwsSolutions-IAM5[Resource::*]',
        reason: 'ecr:GetAuthorizationToken takes no narrower resource, as for the worker.',
      },
    );
    this.taskDefinition = task;
  }
}

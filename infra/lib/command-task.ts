/** A one-off task on the worker's image, in which an operator runs the commands of `user-sync` inside the VPC. */
import { Annotations, Aws, CfnOutput } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { consumerEnvironment, ConsumerProps } from './consumer';
import { fargateSize, SMALLEST } from './fargate-sizes';
import { grantRedrive, POOL_READS } from './grants';
import type { Parts } from './parts';
import { acknowledgeTask, bindRole, clusterIn, runtimePlatform, TASK_NEEDS } from './tasks';
import { workerImage } from './worker-image';

/** How the one-off task is made. */
export interface CommandTaskOptions {
  /**
   * The cluster to run in.
   *
   * @default - the worker's, or one of its own
   */
  readonly cluster?: ecs.ICluster;

  /**
   * CPU units of the task: 256, 512, 1024, 2048, 4096, 8192 or 16384.
   *
   * @default 256
   */
  readonly cpu?: number;

  /**
   * Memory of the task in MiB: what Fargate offers with `cpu`.
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
   * @default - that of `UserSyncCompute.fargate({ image })`, else built by Docker from what `make lambda` left in `code`
   */
  readonly image?: ecs.ContainerImage;
}

/** What the task is given. */
export interface CommandTaskProps {
  /** What the consumer is given: commands see what it sees. */
  readonly consumer: ConsumerProps;
  /** The deployment that the commands are about. */
  readonly parts: Parts;
  /** What its log is encrypted with: what commands print may be of persons. */
  readonly encryptionKey?: kms.IKey;
}

/** The container of which a command is said. */
const CONTAINER = 'command';

/** The task definition, its log, the outputs that say how to run it, and a cluster where none is given. */
export class CommandTask extends Construct {
  /** What `aws ecs run-task` names. */
  public readonly taskDefinition: ecs.FargateTaskDefinition;

  /** Where it runs. */
  public readonly cluster: ecs.ICluster;

  /** What the commands print. */
  public readonly logGroup: logs.ILogGroup;

  private readonly assignPublicIp: boolean;
  private readonly consumer: ConsumerProps;

  constructor(scope: Construct, id: string, props: CommandTaskProps, options: CommandTaskOptions) {
    super(scope, id);
    const { consumer } = props;
    const { network, programs } = consumer;
    this.consumer = consumer;
    this.assignPublicIp = options.assignPublicIp ?? false;
    const needs = new Set([...TASK_NEEDS, ...consumer.login.needs]);
    network.tasksNeed('commandTask.assignPublicIp', this.assignPublicIp, ...needs);
    // No endpoint leads to Cognito: a pool with a domain refuses it.
    const asksCognito = !network.isClosed(this.assignPublicIp);
    this.logGroup = programs.logGroup(this, 'Log', undefined, props.encryptionKey);
    this.cluster =
      options.cluster ?? props.parts.consumer.consumerService?.cluster ?? clusterIn(this, network);
    this.taskDefinition = this.task(props, options, asksCognito);
    this.output('Doctor', 'Checks the deployment', ['doctor']);
    this.output('Verify', 'Compares the rows with the ledger', ['verify']);
    if (asksCognito)
      this.output('Reconcile', 'Brings the table up to the user pool', ['reconcile', '--repair']);
    else this.explain();
    this.output('Dlq', 'Lists the dead letters', ['dlq', 'list']);
    new CfnOutput(this, 'CommandLog', {
      description: 'What the commands print',
      value: `aws logs tail ${this.logGroup.logGroupName} --region ${Aws.REGION} --since 15m --follow`,
    });
  }

  /** Permits to run commands in it, to pass the roles of the task, and to read what was printed. */
  public grantRun(grantee: iam.IGrantable): iam.Grant {
    const read = this.logGroup.grant(grantee, 'logs:FilterLogEvents', 'logs:GetLogEvents');
    return this.taskDefinition.grantRun(grantee).combine(read);
  }

  /** Permits to start commands in it, to look at them and to stop them: tasks have no family, so the cluster bounds these. */
  public grantStart(grantee: iam.IGrantable): void {
    const { taskDefinition, cluster } = this;
    const permit = (actions: string[], resources: string[], conditions: Record<string, unknown>) =>
      grantee.grantPrincipal.addToPrincipalPolicy(
        new iam.PolicyStatement({ actions, resources, conditions }),
      );
    const here = { ArnEquals: { 'ecs:cluster': cluster.clusterArn } };
    permit(['ecs:RunTask'], [taskDefinition.taskDefinitionArn], here);
    permit(['ecs:DescribeTasks', 'ecs:StopTask'], ['*'], here);
    const roles = [taskDefinition.taskRole, taskDefinition.obtainExecutionRole()];
    permit(
      ['iam:PassRole'],
      roles.map(({ roleArn }) => roleArn),
      { StringEquals: { 'iam:PassedToService': 'ecs-tasks.amazonaws.com' } },
    );
  }

  /** Where it runs, as the console is told. */
  public place(): Record<string, string> {
    const { vpc, vpcSubnets, securityGroup } = this.consumer.network;
    return {
      USER_SYNC_TASK_DEFINITION: this.taskDefinition.taskDefinitionArn,
      USER_SYNC_TASK_CLUSTER: this.cluster.clusterArn,
      USER_SYNC_TASK_SUBNETS: vpc.selectSubnets(vpcSubnets).subnetIds.join(','),
      USER_SYNC_TASK_SECURITY_GROUPS: securityGroup.securityGroupId,
      ...(this.assignPublicIp && { USER_SYNC_TASK_PUBLIC_IP: 'true' }),
    };
  }

  private task(
    props: CommandTaskProps,
    options: CommandTaskOptions,
    asksCognito: boolean,
  ): ecs.FargateTaskDefinition {
    const { consumer, parts } = props;
    const { cpu = SMALLEST.cpu, memoryLimitMiB = SMALLEST.memoryLimitMiB } = options;
    const parameter = parts.keeper?.parameter;
    fargateSize('commandTask.', cpu, memoryLimitMiB);
    const task = new ecs.FargateTaskDefinition(this, 'TaskDefinition', {
      cpu,
      memoryLimitMiB,
      runtimePlatform: runtimePlatform(consumer.programs),
    });
    task.addContainer(CONTAINER, {
      image:
        options.image ?? parts.consumer.image ?? workerImage(this, consumer.programs, consumer.certificates),
      command: ['doctor'],
      environment: {
        ...consumer.programs.environment,
        ...consumerEnvironment(consumer),
        // Where `reconcile` notes how far it came.
        ...(asksCognito ? { XDG_STATE_HOME: '/tmp' } : { USER_SYNC_ASK_COGNITO: 'false' }),
        ...(asksCognito && parameter && { USER_SYNC_TRIGGERS_PARAMETER: parameter.parameterName }),
        ...consumer.login.bind(task.taskRole),
      },
      logging: ecs.LogDriver.awsLogs({ logGroup: this.logGroup, streamPrefix: CONTAINER }),
      readonlyRootFilesystem: !asksCognito,
    });
    grantRedrive(parts.allQueues, task.taskRole);
    if (asksCognito) permitAsking(parts, task.taskRole);
    bindRole(task);
    acknowledgeTask(task);
    return task;
  }

  /** The line to paste into a shell. */
  private output(name: string, description: string, command: string[]): void {
    const { vpc, vpcSubnets, securityGroup } = this.consumer.network;
    const subnets = vpc.selectSubnets(vpcSubnets).subnetIds.join(',');
    const publicIp = this.assignPublicIp ? 'ENABLED' : 'DISABLED';
    const overrides = JSON.stringify({ containerOverrides: [{ name: CONTAINER, command }] });
    new CfnOutput(this, `Command${name}`, {
      description: `${description}: user-sync ${command.join(' ')}`,
      value: [
        `aws ecs run-task --region ${Aws.REGION} --launch-type FARGATE`,
        `--cluster ${this.cluster.clusterArn} --task-definition ${this.taskDefinition.taskDefinitionArn}`,
        `--network-configuration 'awsvpcConfiguration={subnets=[${subnets}],` +
          `securityGroups=[${securityGroup.securityGroupId}],assignPublicIp=${publicIp}}'`,
        `--overrides '${overrides}'`,
      ].join(' '),
    });
  }

  private explain(): void {
    Annotations.of(this).addInfoV2(
      'cognito-user-sync:commandTaskClosed',
      `commandTask has no output CommandReconcile, and its commands do not ask Cognito (USER_SYNC_ASK_COGNITO=false): ` +
        'vpcSubnets have no way out, and there is no endpoint to a pool that may have a domain. Give private subnets with ' +
        'a NAT gateway, or public ones with commandTask: { assignPublicIp: true }; or run `user-sync reconcile ' +
        '--publish-all` from anywhere that reaches Cognito and the queue',
    );
  }
}

function permitAsking({ userPool, keeper }: Parts, grantee: iam.IGrantable): void {
  const permit = (actions: string[], arn: string) =>
    iam.Grant.addToPrincipal({ grantee, actions, resourceArns: [arn] });
  permit(POOL_READS, userPool.userPoolArn);
  if (keeper) permit(['ssm:GetParameter'], keeper.parameter.parameterArn);
}

/** What all tasks of AWS Fargate have in common, whatever they run. */
import { Aws, Validations } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { Service } from './endpoints';
import { Network } from './network';
import { Programs } from './programs';

/** What a task must reach: the queues, its image, whose layers are in S3, and its log. */
export const TASK_NEEDS: Service[] = ['sqs', 'ecr', 'logs', 's3'];

/** What a task runs on. */
export function runtimePlatform(programs: Programs): ecs.RuntimePlatform {
  const isArm = programs.architecture === lambda.Architecture.ARM_64;
  return {
    cpuArchitecture: isArm ? ecs.CpuArchitecture.ARM64 : ecs.CpuArchitecture.X86_64,
    operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
  };
}

/** A cluster where none is given. */
export function clusterIn(scope: Construct, { vpc }: Network): ecs.Cluster {
  return new ecs.Cluster(scope, 'Cluster', { vpc, containerInsightsV2: ecs.ContainerInsights.ENABLED });
}

/**
 * Has the task's role assumed for tasks of this account and Region only ("Creating the task IAM role", Amazon ECS Developer
 * Guide). Of the execution role, which the agent assumes, the guide says no condition.
 */
export function bindRole(task: ecs.FargateTaskDefinition): void {
  const role = task.taskRole.node.defaultChild as iam.CfnRole;
  role.addPropertyOverride('AssumeRolePolicyDocument.Statement.0.Condition', {
    StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID },
    ArnLike: { 'aws:SourceArn': `arn:${Aws.PARTITION}:ecs:${Aws.REGION}:${Aws.ACCOUNT_ID}:*` },
  });
}

/** What cdk-nag finds of every task of ours. */
export function acknowledgeTask(task: ecs.FargateTaskDefinition): void {
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
}

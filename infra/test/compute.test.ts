/** Where the consumer runs, by props that are all heard, and sizes that are all there. */
import * as assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { CognitoUserSyncProps, FargateComputeOptions, LambdaComputeOptions, UserSyncCompute } from '../lib';
import { dist } from './support';
import { Questions } from './template';
import { sync } from './variants';

const code = dist();

type Changes = Partial<CognitoUserSyncProps>;

function synthesized(changes: (stack: Stack) => Changes): Questions {
  const stack = new Stack(new App(), 'Made');
  sync(stack, code, changes(stack));
  return new Questions(Template.fromStack(stack));
}

/** Without Docker. */
const image = ecs.ContainerImage.fromRegistry('example/user-sync');

describe('the consumer as a function', () => {
  const made = (options?: LambdaComputeOptions) =>
    synthesized(() => ({ compute: UserSyncCompute.lambda(options) }));

  test('hears each of its props', () => {
    const questions = made({
      memorySize: 1_024,
      maxConcurrency: 7,
      maxBatchingWindow: Duration.seconds(9),
      batchSize: 50,
    });
    const mapping = questions.properties('AWS::Lambda::EventSourceMapping', 'SyncConsumerMapping');
    assert.deepEqual(
      [mapping.BatchSize, mapping.MaximumBatchingWindowInSeconds, mapping.ScalingConfig.MaximumConcurrency],
      [50, 9, 7],
    );
    assert.equal(questions.function('Consumer').MemorySize, 1_024);
    // Hidden for six times the timeout, and the window.
    const { VisibilityTimeout } = questions.properties('AWS::SQS::Queue', 'SyncTriggerQueue');
    assert.equal(VisibilityTimeout, 6 * 60 + 9);
  });

  test('has defaults, which are those of no compute at all', () => {
    const [said, unsaid] = [made({}), synthesized(() => ({}))].map(({ resources }) =>
      Object.fromEntries(
        Object.entries(resources).filter(([, { Type }]) => Type !== 'Custom::UserSyncPoolTriggers'),
      ),
    );
    assert.deepEqual(said, unsaid);
  });

  const CASES: [LambdaComputeOptions, RegExp][] = [
    [{ memorySize: 64 }, /compute\.memorySize is 64: it must be a whole number from 128 to 10240/],
    [{ maxConcurrency: 1 }, /compute\.maxConcurrency is 1: it must be a whole number from 2 to 1000/],
    [{ batchSize: 0 }, /batchSize is 0: it must be a whole number from 1 to 10000/],
    [
      { maxBatchingWindow: Duration.minutes(6) },
      /maxBatchingWindow is "360 s": it must be whole seconds from 0 to 300/,
    ],
    [
      { maxBatchingWindow: Duration.seconds(0) },
      /maxBatchingWindow is "0 s": it must be 1 s at least, since compute\.batchSize is 1000/,
    ],
  ];
  for (const [options, message] of CASES)
    test(`refuses ${JSON.stringify(Object.keys(options))} out of its limits`, () => {
      assert.throws(() => UserSyncCompute.lambda(options), message);
    });
});

describe('the consumer as a service', () => {
  test('hears each of its props', () => {
    const questions = synthesized((stack) => {
      const vpc = new ec2.Vpc(stack, 'Vpc');
      const cluster = new ecs.Cluster(stack, 'Mine', { vpc });
      const options = { cpu: 1_024, memoryLimitMiB: 4_096, desiredCount: 3, batchSize: 60, concurrency: 5 };
      return { vpc, compute: UserSyncCompute.fargate({ ...options, image, cluster }) };
    });
    const task = questions.properties('AWS::ECS::TaskDefinition', 'SyncConsumer');
    const [{ Image, Environment }] = task.ContainerDefinitions;
    assert.deepEqual([task.Cpu, task.Memory, Image], ['1024', '4096', 'example/user-sync']);
    const variables = Object.fromEntries(
      Environment.map(({ Name, Value }: { Name: string; Value: string }) => [Name, Value]),
    );
    assert.deepEqual([variables.USER_SYNC_BATCH_SIZE, variables.USER_SYNC_CONCURRENCY], ['60', '5']);
    const service = questions.properties('AWS::ECS::Service', 'SyncConsumer');
    assert.equal(service.DesiredCount, 3);
    assert.deepEqual(service.Cluster, { Ref: questions.ids('AWS::ECS::Cluster', 'Mine')[0] });
    assert.deepEqual(questions.ids('AWS::ECS::Cluster'), []);
    assert.equal(service.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp, 'DISABLED');
  });

  test('takes what is given as undefined for what is left out', () => {
    const nothing = {
      cpu: undefined,
      memoryLimitMiB: undefined,
      desiredCount: undefined,
      batchSize: undefined,
    };
    const compute = UserSyncCompute.fargate({ image, concurrency: undefined, ...nothing });
    const { Cpu, Memory } = synthesized(() => ({ compute })).properties(
      'AWS::ECS::TaskDefinition',
      'SyncConsumer',
    );
    assert.deepEqual([Cpu, Memory], ['256', '512']);
  });

  test('stands in the VPC of its cluster, or is refused', () => {
    const inCluster = (of: (stack: Stack) => ecs.ICluster) =>
      synthesized((stack) => ({ compute: UserSyncCompute.fargate({ image, cluster: of(stack) }) }));
    const vpc = (stack: Stack, vpcId: string) =>
      ec2.Vpc.fromVpcAttributes(stack, 'Again', {
        vpcId,
        availabilityZones: ['eu-west-1a'],
        privateSubnetIds: ['subnet-0123456789abcdef0'],
      });
    const imported = (vpcId: string) => (stack: Stack) =>
      ecs.Cluster.fromClusterAttributes(stack, 'Mine', { clusterName: 'mine', vpc: vpc(stack, vpcId) });
    assert.equal(inCluster(imported('vpc-0123456789abcdef0')).ids('AWS::ECS::Service').length, 1);
    assert.throws(
      () => inCluster(imported('vpc-other')),
      /compute\.cluster is "Made\/Mine of the VPC Made\/Again": it must be one of vpc, Made\/Vpc, .*left out/,
    );
    const arn = 'arn:aws:ecs:eu-west-1:123456789012:cluster/mine';
    assert.throws(
      () => inCluster((stack) => ecs.Cluster.fromClusterArn(stack, 'Mine', arn)),
      /compute\.cluster is "Made\/Mine without a VPC": it must be imported with it, by Cluster\.fromClusterAttributes/,
    );
  });

  test('has the sizes that Fargate offers, and no other', () => {
    const sizes: [number, number[], number[]][] = [
      [256, [512, 1_024, 2_048], [256, 1_536, 4_096]],
      [512, [1_024, 3_072, 4_096], [512, 1_536, 5_120]],
      [1_024, [2_048, 8_192], [1_024, 9_216]],
      [2_048, [4_096, 16_384], [2_048, 17_408]],
      [4_096, [8_192, 30_720], [4_096, 31_744]],
      [8_192, [16_384, 20_480, 61_440], [17_408, 65_536]],
      [16_384, [32_768, 122_880], [36_864, 131_072]],
    ];
    for (const [cpu, offered, others] of sizes) {
      for (const memoryLimitMiB of offered) UserSyncCompute.fargate({ cpu, memoryLimitMiB });
      for (const memoryLimitMiB of others) {
        const message = new RegExp(
          `compute.memoryLimitMiB is ${memoryLimitMiB}: it must be .*\\d.*, since compute.cpu is ${cpu}$`,
        );
        assert.throws(() => UserSyncCompute.fargate({ cpu, memoryLimitMiB }), message);
      }
    }
  });

  const CASES: [FargateComputeOptions, RegExp][] = [
    [{ cpu: 300 }, /compute\.cpu is 300: it must be one of 256, 512, 1024, 2048, 4096, 8192, 16384/],
    [
      { cpu: 1_024 },
      /compute\.memoryLimitMiB is 512: it must be from 2048 to 8192, .* since compute\.cpu is 1024/,
    ],
    [{ desiredCount: 0 }, /compute\.desiredCount is 0: it must be a whole number from 1 to 100/],
    [{ concurrency: 65 }, /compute\.concurrency is 65: it must be a whole number from 1 to 64/],
    [{ batchSize: 10_001 }, /batchSize is 10001: it must be a whole number from 1 to 10000/],
  ];
  for (const [options, message] of CASES)
    test(`refuses ${JSON.stringify(options)}`, () => {
      assert.throws(() => UserSyncCompute.fargate(options), message);
    });
});

describe('the architecture', () => {
  test('is that of the functions and of the tasks, also where it is custom by its name', () => {
    for (const architecture of [lambda.Architecture.ARM_64, lambda.Architecture.custom('arm64')]) {
      const functions = synthesized(() => ({ architecture }));
      assert.deepEqual(functions.function('Consumer').Architectures, ['arm64']);
      assert.deepEqual(
        functions.properties('AWS::Lambda::LayerVersion', 'Sync').CompatibleArchitectures,
        undefined,
      );
      const tasks = synthesized(() => ({ architecture, compute: UserSyncCompute.fargate({ image }) }));
      const { RuntimePlatform } = tasks.properties('AWS::ECS::TaskDefinition', 'SyncConsumer');
      assert.equal(RuntimePlatform.CpuArchitecture, 'ARM64');
    }
    const plain = synthesized(() => ({ architecture: lambda.Architecture.custom('x86_64') }));
    assert.deepEqual(plain.function('Consumer').Architectures, ['x86_64']);
  });

  test('that nothing is built for is refused', () => {
    assert.throws(
      () => synthesized(() => ({ architecture: lambda.Architecture.custom('riscv64') })),
      /architecture is "riscv64": it must be lambda\.Architecture\.X86_64 or lambda\.Architecture\.ARM_64/,
    );
  });
});

/** Where the consumer runs: each kind of compute binds itself, and holds its own props. */
import { Duration } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import { Construct } from 'constructs';
import { FargateConsumer } from './compute-fargate';
import { CONSUMER_TIMEOUT, LambdaConsumer } from './compute-lambda';
import { BoundConsumer, ConsumerProps } from './consumer';
import { fargateSize, SMALLEST } from './fargate-sizes';
import { refuse, seconds, wholeNumber } from './limits';

/** The consumer as a Lambda function. */
export interface LambdaComputeOptions {
  /**
   * Memory of the function in MiB, 128 to 10,240.
   *
   * @default 512
   */
  readonly memorySize?: number;

  /**
   * Most functions at once, 2 to 1,000. Each takes one connection, so this bounds the database's.
   *
   * @default 4
   */
  readonly maxConcurrency?: number;

  /**
   * How long Lambda gathers a batch, 0 to 300 s; 1 s at least where `batchSize` is above 10.
   *
   * @default Duration.seconds(1)
   */
  readonly maxBatchingWindow?: Duration;

  /**
   * Most messages that are applied in one transaction, 1 to 10,000.
   *
   * @default 1000
   */
  readonly batchSize?: number;
}

/** The worker on AWS Fargate. */
export interface FargateComputeOptions {
  /**
   * The image, whose entry point is `user-sync`, which has `user-sync` in its PATH, for the health check, and RDS's
   * certificates in `/opt/rds-ca.pem`.
   *
   * @default - built by Docker from what `make lambda` left in `code`
   */
  readonly image?: ecs.ContainerImage;

  /**
   * CPU units of a task: 256, 512, 1024, 2048, 4096, 8192 or 16384.
   *
   * @default 256
   */
  readonly cpu?: number;

  /**
   * Memory of a task in MiB: what Fargate offers with `cpu`. With 256 that is 512, 1024 and 2048.
   *
   * @default 512
   */
  readonly memoryLimitMiB?: number;

  /**
   * How many tasks run, 1 to 100. Two outlive the loss of an availability zone.
   *
   * @default 2
   */
  readonly desiredCount?: number;

  /**
   * Whether tasks have public addresses, which they need in public subnets, and which are of no use in others.
   *
   * @default false
   */
  readonly assignPublicIp?: boolean;

  /**
   * Most messages that are applied in one transaction, 1 to 10,000.
   *
   * @default 1000
   */
  readonly batchSize?: number;

  /**
   * Batches that one task has under way, 1 to 64; each takes one connection.
   *
   * @default 2
   */
  readonly concurrency?: number;

  /**
   * The cluster to run in.
   *
   * @default - a cluster of its own
   */
  readonly cluster?: ecs.ICluster;
}

/** Where the consumer runs. */
export abstract class UserSyncCompute {
  /** As a Lambda function behind the queue's event source mapping: nothing runs, and nothing costs, while nobody signs in. */
  public static lambda(options: LambdaComputeOptions = {}): UserSyncCompute {
    return new LambdaCompute(options);
  }

  /** As tasks of AWS Fargate that run `user-sync worker`. */
  public static fargate(options: FargateComputeOptions = {}): UserSyncCompute {
    return new FargateCompute(options);
  }

  /**
   * What the queue must be for it.
   *
   * @internal
   */
  public abstract readonly _queue: { visibilityTimeout: Duration; maxReceiveCount: number };

  /**
   * Makes the consumer.
   *
   * @internal
   */
  public abstract _bind(scope: Construct, consumer: ConsumerProps): BoundConsumer;
}

class LambdaCompute extends UserSyncCompute {
  /** @internal */
  public readonly _queue: { visibilityTimeout: Duration; maxReceiveCount: number };

  constructor(private readonly options: LambdaComputeOptions) {
    super();
    const { memorySize = 512, maxConcurrency = 4, batchSize = 1_000 } = options;
    wholeNumber('compute.memorySize', memorySize, 128, 10_240);
    wholeNumber('compute.maxConcurrency', maxConcurrency, 2, 1_000);
    wholeNumber('compute.batchSize', batchSize, 1, 10_000);
    const window = seconds(
      'compute.maxBatchingWindow',
      options.maxBatchingWindow ?? Duration.seconds(1),
      0,
      300,
    );
    // "Batching behavior", AWS Lambda Developer Guide.
    if (batchSize > 10 && window.toSeconds() < 1)
      refuse(
        'compute.maxBatchingWindow',
        '0 s',
        `1 s at least, since compute.batchSize is ${batchSize}: above 10`,
      );
    // "Configuring an Amazon SQS queue to use with Lambda": six times the timeout, and the window.
    const visibilityTimeout = Duration.seconds(6 * CONSUMER_TIMEOUT.toSeconds() + window.toSeconds());
    this._queue = { visibilityTimeout, maxReceiveCount: 1_000 };
  }

  /** @internal */
  public _bind(scope: Construct, consumer: ConsumerProps): BoundConsumer {
    return new LambdaConsumer(scope, 'Consumer', consumer, this.options);
  }
}

class FargateCompute extends UserSyncCompute {
  /** @internal */
  public readonly _queue = { visibilityTimeout: Duration.seconds(361), maxReceiveCount: 100 };

  constructor(private readonly options: FargateComputeOptions) {
    super();
    const { desiredCount = 2, concurrency = 2, batchSize = 1_000 } = options;
    const { cpu = SMALLEST.cpu, memoryLimitMiB = SMALLEST.memoryLimitMiB } = options;
    wholeNumber('compute.desiredCount', desiredCount, 1, 100);
    wholeNumber('compute.concurrency', concurrency, 1, 64);
    wholeNumber('compute.batchSize', batchSize, 1, 10_000);
    fargateSize('compute.', cpu, memoryLimitMiB);
  }

  /** @internal */
  public _bind(scope: Construct, consumer: ConsumerProps): BoundConsumer {
    return new FargateConsumer(scope, 'Consumer', consumer, this.options);
  }
}

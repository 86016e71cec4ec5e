/** The consumer as a Lambda function behind the queue's event source mapping. */
import { Duration } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct, IConstruct } from 'constructs';
import type { LambdaComputeOptions } from './compute';
import { BoundConsumer, consumerEnvironment, ConsumerProps, grantConsume } from './consumer';
import { mapRecords } from './queues';

/** The longest that one batch may take. */
export const CONSUMER_TIMEOUT = Duration.seconds(60);

/** The function, and what hands messages over to it. */
export class LambdaConsumer extends Construct implements BoundConsumer {
  public readonly construct: IConstruct;
  public readonly consumerFunction: lambda.Function;
  public readonly metricsService: string;
  public readonly logGroup: logs.ILogGroup;

  constructor(scope: Construct, id: string, props: ConsumerProps, options: LambdaComputeOptions) {
    super(scope, id);
    props.network.functionsNeed('sqs', ...props.login.needs);
    const { batchSize = 1_000, maxConcurrency = 4, memorySize = 512 } = options;
    const made = props.programs.function(this, {
      program: 'user-sync-consumer',
      description: 'Applies events from the queue to the database, each exactly once',
      timeout: CONSUMER_TIMEOUT,
      memorySize,
      environment: consumerEnvironment(props),
      network: props.network,
      layers: [props.certificates.layer],
    });
    for (const [name, value] of Object.entries(props.login.bind(made))) made.addEnvironment(name, value);
    grantConsume(props, made);
    new lambda.EventSourceMapping(this, 'Mapping', {
      target: made,
      eventSourceArn: props.queues.queue.queueArn,
      batchSize,
      maxBatchingWindow: options.maxBatchingWindow ?? Duration.seconds(1),
      maxConcurrency,
      reportBatchItemFailures: true,
    });
    if (props.contexts) mapRecords(this, 'ContextMapping', props.contexts.queue, made, batchSize);
    this.construct = made;
    this.consumerFunction = made;
    this.metricsService = made.functionName;
    this.logGroup = made.logGroup;
  }
}

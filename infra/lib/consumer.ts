/** What every consumer is given, wherever it runs, and what is known of it once it is made. */
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { IConstruct } from 'constructs';
import { Certificates } from './certificates';
import { Login } from './logins';
import { Network } from './network';
import { Programs } from './programs';
import { CONSUME, grantQueue, Queues } from './queues';

/** What every consumer is given. */
export interface ConsumerProps {
  readonly programs: Programs;
  readonly network: Network;
  readonly certificates: Certificates;
  readonly queues: Queues;
  readonly contexts?: Queues;
  /** What all consumers are told: whose users they are, and from which level on to log. */
  readonly environment: Record<string, string>;
  readonly login: Login;
}

/** A consumer that is made. */
export interface BoundConsumer {
  readonly construct: IConstruct;
  readonly consumerFunction?: lambda.Function;
  readonly consumerService?: ecs.FargateService;
  /** The dimension of its metrics. */
  readonly metricsService: string;
  readonly logGroup: logs.ILogGroup;
  /** The image that a worker was given. */
  readonly image?: ecs.ContainerImage;
}

/** The variables of every consumer, but for the login's. */
export function consumerEnvironment({
  queues,
  contexts,
  environment,
}: ConsumerProps): Record<string, string> {
  return {
    USER_SYNC_QUEUE_URL: queues.queue.queueUrl,
    USER_SYNC_DLQ_URL: queues.deadLetterQueue.queueUrl,
    ...(contexts && {
      USER_SYNC_CONTEXT_QUEUE_URL: contexts.queue.queueUrl,
      USER_SYNC_CONTEXT_DLQ_URL: contexts.deadLetterQueue.queueUrl,
    }),
    ...environment,
  };
}

/** Permits to consume the queues, and to give up what can never be applied. */
export function grantConsume({ queues, contexts }: ConsumerProps, grantee: iam.IGrantable): void {
  for (const { queue, deadLetterQueue } of [queues, ...(contexts ? [contexts] : [])]) {
    grantQueue(queue, grantee, ...CONSUME);
    grantQueue(deadLetterQueue, grantee, 'sqs:SendMessage');
  }
}

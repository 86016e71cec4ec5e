/** The queue of records: where logins came from, and the sign-ins that failed. No flood there delays a sign-in. */
import { Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { grantQueue, Queues, queues } from './queues';

/** How long Lambda gathers records: they come minutes late as it is, and more at once cost less. */
const WINDOW = Duration.seconds(5);

/** Most consumer functions at once that apply records: the least that Lambda takes. Each takes one connection. */
const CONCURRENCY = 2;

/** What the queue of records is to be. */
export interface ContextQueueProps {
  readonly consumerTimeout: Duration;
  readonly maxReceiveCount: number;
  readonly encryptionKey?: kms.IKey;
  readonly removalPolicy: RemovalPolicy;
}

/** Makes the queue and its dead-letter queue. */
export function contextQueues(scope: Construct, { consumerTimeout, ...props }: ContextQueueProps): Queues {
  return queues(new Construct(scope, 'Context'), { ...props, visibilityTimeout: hiddenFor(consumerTimeout) });
}

/** "Configuring an Amazon SQS queue to use with Lambda": six times the timeout, and the window. */
export function hiddenFor(timeout: Duration): Duration {
  return Duration.seconds(6 * timeout.toSeconds() + WINDOW.toSeconds());
}

/** What the consumer is told of both; nothing where there are none. */
export function contextEnvironment(contexts?: Queues): Record<string, string> {
  if (!contexts) return {};
  return {
    USER_SYNC_CONTEXT_QUEUE_URL: contexts.queue.queueUrl,
    USER_SYNC_CONTEXT_DLQ_URL: contexts.deadLetterQueue.queueUrl,
  };
}

/** Hands records of a queue to a function, of which so few run at once that all else goes on. */
export function mapRecords(
  scope: Construct,
  id: string,
  queue: sqs.IQueue,
  target: lambda.Function,
  batchSize: number,
): lambda.EventSourceMapping {
  return new lambda.EventSourceMapping(scope, id, {
    target,
    eventSourceArn: queue.queueArn,
    batchSize,
    maxBatchingWindow: WINDOW,
    maxConcurrency: CONCURRENCY,
    reportBatchItemFailures: true,
  });
}

/** Permits to send records, which is all that a backend may. */
export function grantSend(queue: sqs.IQueue | undefined, grantee: iam.IGrantable): iam.Grant {
  if (queue) return grantQueue(queue, grantee, 'sqs:SendMessage');
  throw new Error(
    'CognitoUserSync: there is no queue of contexts to send to: give contextQueue: true, or a source in loginContext',
  );
}

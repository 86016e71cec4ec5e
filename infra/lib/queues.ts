/** The queues, and what whoever uses one may do. */
import { Aws, Duration, Fn, RemovalPolicy, Stack, Token, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { grantKey } from './rights';

/** What the queues are to be. */
export interface QueuesProps {
  readonly visibilityTimeout: Duration;
  readonly maxReceiveCount: number;
  readonly encryptionKey?: kms.IKey;
  readonly removalPolicy: RemovalPolicy;
}

/** The queue and its dead-letter queue. */
export interface Queues {
  readonly queue: sqs.Queue;
  readonly deadLetterQueue: sqs.Queue;
}

/** Makes both, each of which keeps messages for the longest that SQS does. */
export function queues(scope: Construct, props: QueuesProps): Queues {
  const common = {
    retentionPeriod: Duration.days(14),
    enforceSSL: true,
    encryption: props.encryptionKey ? sqs.QueueEncryption.KMS : sqs.QueueEncryption.SQS_MANAGED,
    encryptionMasterKey: props.encryptionKey,
    removalPolicy: props.removalPolicy,
  };
  // Each queue names the other, by its redrive policy and by who may redrive to it. So that this is no circle, the
  // queue's name is known before it is made, and of this one stack: a kept queue is not in the way of the next.
  const stack = Stack.of(scope);
  const stackGuid = Fn.select(4, Fn.split('-', Fn.select(2, Fn.split('/', Aws.STACK_ID))));
  const queueName = Fn.join('-', ['user-sync', scope.node.addr.slice(-8), stackGuid]);
  const deadLetterQueue = new sqs.Queue(scope, 'DeadLetterQueue', common);
  (deadLetterQueue.node.defaultChild as sqs.CfnQueue).redriveAllowPolicy = {
    redrivePermission: 'byQueue',
    sourceQueueArns: [stack.formatArn({ service: 'sqs', resource: queueName })],
  };
  const queue = new sqs.Queue(scope, 'Queue', {
    ...common,
    queueName,
    visibilityTimeout: props.visibilityTimeout,
    receiveMessageWaitTime: Duration.seconds(20),
    deadLetterQueue: { queue: deadLetterQueue, maxReceiveCount: props.maxReceiveCount },
  });
  return { queue, deadLetterQueue };
}

/** How long Lambda gathers records: they come minutes late as it is, and more at once cost less. */
const RECORDS_WINDOW = Duration.seconds(5);

/** Most functions at once that read records: the least that Lambda takes. A consumer takes one connection each. */
const RECORDS_CONCURRENCY = 2;

/** "Configuring an Amazon SQS queue to use with Lambda": six times the timeout, and the window. */
export function hiddenFor(timeout: Duration): Duration {
  return Duration.seconds(6 * timeout.toSeconds() + RECORDS_WINDOW.toSeconds());
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
    maxBatchingWindow: RECORDS_WINDOW,
    maxConcurrency: RECORDS_CONCURRENCY,
    reportBatchItemFailures: true,
  });
}

/** Where Lambda and EventBridge put what they could not hand over. */
export function failureQueue(scope: Construct, id: string): sqs.Queue {
  // EventBridge could not write to a queue with a key whose policy does not name it. What comes here has no names and no
  // attributes, which CloudTrail hides; records of sign-ins have addresses.
  const queue = new sqs.Queue(scope, id, {
    retentionPeriod: Duration.days(14),
    enforceSSL: true,
    encryption: sqs.QueueEncryption.SQS_MANAGED,
  });
  Validations.of(queue).acknowledge({
    id: 'AwsSolutions-SQS3',
    reason: 'It is a dead-letter queue itself, and an alarm watches it.',
  });
  return queue;
}

/** What whoever receives from a queue needs, or Lambda by a function's role. */
export const CONSUME = [
  'ReceiveMessage',
  'DeleteMessage',
  'ChangeMessageVisibility',
  'GetQueueAttributes',
].map((action) => `sqs:${action}`);

/** Permits actions on a queue, and the use of its key that they take. */
export function grantQueue(queue: sqs.IQueue, grantee: iam.IGrantable, ...actions: string[]): iam.Grant {
  const { principalAccount } = grantee.grantPrincipal;
  const { account } = queue.env;
  const isKnown = principalAccount !== undefined && !Token.isUnresolved(principalAccount);
  if (isKnown && !Token.isUnresolved(account) && principalAccount !== account) {
    throw new Error(
      `CognitoUserSync: the grantee is of the account ${principalAccount}, and the queue of ${account}, whose policy lets ` +
        `nobody in: grant to a role of ${account} that ${principalAccount} may assume`,
    );
  }
  const grant = iam.Grant.addToPrincipal({ grantee, actions, resourceArns: [queue.queueArn] });
  // "Key management", Amazon SQS Developer Guide: producers need both, consumers the second.
  const uses = actions.includes('sqs:SendMessage') ? ['kms:GenerateDataKey', 'kms:Decrypt'] : ['kms:Decrypt'];
  const receives = actions.includes('sqs:SendMessage') || actions.includes('sqs:ReceiveMessage');
  return queue.encryptionMasterKey && receives
    ? grant.combine(grantKey(queue.encryptionMasterKey, grantee, uses))
    : grant;
}

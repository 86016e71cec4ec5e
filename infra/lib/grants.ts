/** What people, and roles of theirs, may do beside the deployment. */
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import type { Parts } from './parts';
import { grantQueue, Queues } from './queues';
import { grantAsk } from './rows';
import { permitParameter } from './trigger-keeper';

/** What `doctor`, `verify` and `reconcile` read of the pool. None of it makes a user an active one. */
export const POOL_READS = [
  'DescribeUserPool',
  'ListGroups',
  'ListUserPoolReplicas',
  'ListUsers',
  'ListUsersInGroup',
].map((action) => `cognito-idp:${action}`);

/** Permits `user-sync dlq` in all its forms on each pair of queues. */
export function grantRedrive(pairs: Queues[], grantee: iam.IGrantable): iam.Grant {
  return combined(
    pairs.flatMap(({ queue, deadLetterQueue }) => [
      grantQueue(
        deadLetterQueue,
        grantee,
        'sqs:ReceiveMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:DeleteMessage',
        'sqs:GetQueueAttributes',
        'sqs:StartMessageMoveTask',
        'sqs:ListMessageMoveTasks',
        'sqs:CancelMessageMoveTask',
      ),
      grantQueue(queue, grantee, 'sqs:SendMessage', 'sqs:GetQueueAttributes'),
    ]),
  );
}

/** Permits `user-sync replay` of a log onto the queues. */
export function grantReplay(log: logs.ILogGroup, pairs: Queues[], grantee: iam.IGrantable): iam.Grant {
  return combined([
    log.grant(grantee, 'logs:FilterLogEvents', 'logs:GetLogEvents'),
    ...pairs.map(({ queue }) => grantQueue(queue, grantee, 'sqs:SendMessage', 'sqs:GetQueueAttributes')),
  ]);
}

/** Permits to send records, which is all that a backend may. */
export function grantSend(queue: sqs.IQueue | undefined, grantee: iam.IGrantable): iam.Grant {
  if (queue) return grantQueue(queue, grantee, 'sqs:SendMessage');
  throw new Error(
    'CognitoUserSync: there is no queue of contexts to send to: give contextQueue: true, or a source in loginContext',
  );
}

/** Permits the commands that whoever is on call runs. */
export function grantOperate(parts: Parts, grantee: iam.IGrantable): iam.Grant {
  const { userPool, trigger, allQueues, keeper, drift, commandTask } = parts;
  const { raw, failures } = parts.contexts?.records ?? {};
  const permit = (actions: string[], arn: string) =>
    iam.Grant.addToPrincipal({ grantee, actions, resourceArns: [arn] });
  return combined([
    grantRedrive(raw ? [...allQueues, raw] : allQueues, grantee),
    // What was lost is read, found otherwise, and the queue emptied.
    ...[parts.lifecycle.failures, ...(failures ? [failures] : [])].map((queue) =>
      grantQueue(queue, grantee, 'sqs:ReceiveMessage', 'sqs:GetQueueAttributes', 'sqs:PurgeQueue'),
    ),
    // CloudTrail takes no narrower resource.
    permit(['cloudtrail:LookupEvents'], '*'),
    grantReplay(trigger.logGroup, allQueues, grantee),
    permit(POOL_READS, userPool.userPoolArn),
    ...(keeper ? [permitParameter(keeper.parameter, grantee)] : []),
    ...(commandTask ? [commandTask.grantRun(grantee)] : []),
    // Nobody asks for rows but the drift check and the deployment check.
    ...(drift ? [grantAsk(drift.driftFunction, grantee)] : []),
  ]);
}

function combined([first, ...others]: iam.Grant[]): iam.Grant {
  return others.reduce((all, next) => all.combine(next), first!);
}

/** What people may do in the console, and what its task may do for that. */
import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { Parts } from './parts';
import { grantQueue } from './queues';

/** What people may do in the console besides reading. */
export enum ConsoleRight {
  /** See one user's data, which are masked otherwise; each time is written down. */
  REVEAL = 'reveal',
  /** Redrive and drop dead letters, and start commands in the `commandTask`. */
  ACT = 'act',
}

/** Permits the console to ask how it goes; and where anybody may act, to deal with dead letters and to start commands. */
export function grantConsole({ allQueues, commandTask }: Parts, role: iam.IRole, mayAct: boolean): void {
  iam.Grant.addToPrincipal({ grantee: role, actions: ['cloudwatch:GetMetricData'], resourceArns: ['*'] });
  Validations.of(role).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason:
      'cloudwatch:GetMetricData takes no narrower resource ("Actions, resources, and condition keys for Amazon CloudWatch"); ' +
      'tasks of the one cluster are named by a condition.',
  });
  for (const { queue, deadLetterQueue } of allQueues)
    for (const each of [queue, deadLetterQueue]) grantQueue(each, role, 'sqs:GetQueueAttributes');
  if (!mayAct) return;
  for (const { queue, deadLetterQueue } of allQueues) {
    const takes = ['sqs:ReceiveMessage', 'sqs:ChangeMessageVisibility', 'sqs:DeleteMessage'];
    grantQueue(deadLetterQueue, role, ...takes);
    grantQueue(queue, role, 'sqs:SendMessage');
  }
  commandTask?.grantStart(role);
}

import { CfnOutput, Stack } from 'aws-cdk-lib';
import { CognitoUserSync } from '../lib';

/** What docs/runbook.md asks whoever is woken up to export. */
export function operatorsOutputs(stack: Stack, sync: CognitoUserSync, userPoolId: string): void {
  const outputs: [string, string, string][] = [
    ['QueueUrl', 'USER_SYNC_QUEUE_URL', sync.queue.queueUrl],
    ['DeadLetterQueueUrl', 'USER_SYNC_DLQ_URL', sync.deadLetterQueue.queueUrl],
    ['UserPoolId', 'USER_SYNC_USER_POOL_ID', userPoolId],
    ['TriggerArn', 'USER_SYNC_TRIGGER_ARN', sync.triggerFunction.functionArn],
    ['TriggerLogGroup', 'The log that `user-sync replay` reads', sync.triggerFunction.logGroup.logGroupName],
    ['LifecycleFailures', 'What the lifecycle function gave up', sync.lifecycleFailures.queueUrl],
    ['Dashboard', 'The name of the dashboard', sync.dashboard.dashboardName],
  ];
  for (const [id, description, value] of outputs) new CfnOutput(stack, id, { description, value });
}

/** A deployment is green only when it works: its last step sends a heartbeat, and waits until it is in the database. */
import { CustomResource, Duration } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct, IConstruct } from 'constructs';
import { deployment } from './deployment';
import { Programs } from './programs';
import { grantQueue, Queues } from './queues';
import { grantAsk } from './rows';

/** What a heartbeat goes through. */
export interface DeploymentCheckProps {
  readonly programs: Programs;
  readonly queues: Queues;
  readonly rowsFunction: lambda.Function;
  /** The consumer's log, whose last error is said where no heartbeat arrives. */
  readonly consumerLog: logs.ILogGroup;
  /** What a heartbeat's way depends on: when any of it changes, the check is asked again. */
  readonly way: Record<string, unknown>;
  /** All that is to work. */
  readonly after: IConstruct[];
}

/** The function, its provider, and the resource that asks it at each deployment, after everything else. */
export class DeploymentCheck extends Construct {
  /** The function that sends a heartbeat and waits for it. */
  public readonly checkFunction: lambda.Function;

  constructor(scope: Construct, id: string, props: DeploymentCheckProps) {
    super(scope, id);
    const { programs, queues, rowsFunction, consumerLog } = props;
    this.checkFunction = programs.function(this, {
      program: 'user-sync-operator',
      description: 'Sends a heartbeat when the stack is deployed, and waits until it is in the database',
      timeout: Duration.minutes(5),
      memorySize: 256,
      environment: {
        USER_SYNC_OPERATION: 'deployment-check',
        USER_SYNC_QUEUE_URL: queues.queue.queueUrl,
        USER_SYNC_DLQ_URL: queues.deadLetterQueue.queueUrl,
        USER_SYNC_ROWS_FUNCTION: rowsFunction.functionName,
        USER_SYNC_CONSUMER_LOG_GROUP: consumerLog.logGroupName,
      },
    });
    grantQueue(queues.queue, this.checkFunction, 'sqs:SendMessage', 'sqs:GetQueueAttributes');
    grantQueue(queues.deadLetterQueue, this.checkFunction, 'sqs:GetQueueAttributes');
    grantAsk(rowsFunction, this.checkFunction);
    consumerLog.grant(this.checkFunction, 'logs:FilterLogEvents');
    const resource = new CustomResource(this, 'Resource', {
      serviceToken: programs.provider(this, this.checkFunction).serviceToken,
      resourceType: 'Custom::UserSyncDeploymentCheck',
      properties: {
        ...props.way,
        Deployment: deployment(this),
        Code: programs.fingerprint('user-sync-operator'),
      },
    });
    resource.node.addDependency(...props.after);
  }
}

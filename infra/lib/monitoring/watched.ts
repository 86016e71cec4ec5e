/** What is watched; says nothing of how. */
import { Duration } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Queues } from '../queues';
import { SignInRecords } from '../sign-in-records';

/** The parts of a deployment, those that there may be with a question mark. */
export interface Watched {
  readonly queue: sqs.Queue;
  readonly deadLetterQueue: sqs.Queue;
  readonly triggerFunction: lambda.Function;
  readonly isAttached: boolean;
  readonly isChained: boolean;
  /** The dimension `service` of the consumer's metrics. */
  readonly consumerService: string;
  readonly consumerFunction?: lambda.Function;
  readonly worker?: ecs.FargateService;
  readonly lifecycleFunction: lambda.Function;
  readonly lifecycleFailures: sqs.Queue;
  readonly triggerKeeper?: lambda.Function;
  readonly triggersParameter?: ssm.IParameter;
  readonly migrator?: lambda.Function;
  readonly driftFunction?: lambda.Function;
  readonly driftInterval?: Duration;
  /** Who reads rows for the drift check, which is outside the VPC. */
  readonly rowsFunction?: lambda.Function;
  /** Who looks, at the end of a deployment, whether a heartbeat comes through. */
  readonly deploymentCheck?: lambda.Function;
  readonly contexts?: WatchedContexts;
}

/** The queue of contexts, and what fills and audits it. */
export interface WatchedContexts extends Queues {
  /** The dimension `service` of the consumer's metrics. */
  readonly consumerService: string;
  readonly records?: SignInRecords;
  readonly auditFunction?: lambda.Function;
}

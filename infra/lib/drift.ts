/** Compares the pool with the table, outside of the VPC: it asks Cognito itself, and the rows where they are. */
import { Duration } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { EventBridgeDestination } from 'aws-cdk-lib/aws-lambda-destinations';
import { Construct } from 'constructs';
import { Programs } from './programs';
import { grantAsk } from './rows';
import { schedule } from './schedules';

/** What is compared, and how often. */
export interface DriftProps {
  readonly programs: Programs;
  readonly userPool: cognito.IUserPool;
  readonly rowsFunction: lambda.Function;
  readonly interval: Duration;
}

/** The function, its schedule, and what lets a comparison of any size go on where the function's time was over. */
export class Drift extends Construct {
  /** The function that compares, and changes neither. */
  public readonly driftFunction: lambda.Function;

  constructor(scope: Construct, id: string, { programs, userPool, rowsFunction, interval }: DriftProps) {
    super(scope, id);
    this.driftFunction = programs.function(this, {
      program: 'user-sync-operator',
      description: 'Compares the user pool with the table, and changes neither',
      timeout: Duration.minutes(15),
      memorySize: 512,
      environment: {
        USER_SYNC_OPERATION: 'drift',
        USER_SYNC_ROWS_FUNCTION: rowsFunction.functionName,
        USER_SYNC_USER_POOL_ID: userPool.userPoolId,
        // A comparison that is older gives up: the schedule has begun the next one.
        USER_SYNC_DRIFT_INTERVAL_SECONDS: String(interval.toSeconds()),
      },
      onSuccess: new EventBridgeDestination(),
      // Lambda ends the loops that it sees after 16 rounds, and a large pool takes more.
      recursiveLoop: lambda.RecursiveLoop.ALLOW,
    });
    grantAsk(rowsFunction, this.driftFunction);
    iam.Grant.addToPrincipal({
      grantee: this.driftFunction,
      actions: [
        'cognito-idp:ListUsers',
        'cognito-idp:DescribeUserPool',
        'cognito-idp:ListGroups',
        'cognito-idp:ListUsersInGroup',
      ],
      resourceArns: [userPool.userPoolArn],
    });
    schedule(this, 'Schedule', events.Schedule.rate(interval), this.driftFunction, { drift: true });
    goOn(this, this.driftFunction);
  }
}

/**
 * Invokes the function again with what its answer says is unfinished.
 *
 * Schedules invoke it asynchronously, so Lambda sends its answer to its destination, the default event bus; who invokes
 * it by hand gets the answer instead, and goes on by hand. The form of the event: "Retaining records of asynchronous
 * invocations", AWS Lambda Developer Guide.
 */
function goOn(scope: Construct, drift: lambda.Function): void {
  const unfinished = events.EventField.fromPath('$.detail.responsePayload.unfinished');
  new events.Rule(scope, 'GoesOn', {
    description: 'A comparison of the user pool with the table that is not finished',
    eventPattern: {
      source: ['lambda'],
      detailType: ['Lambda Function Invocation Result - Success'],
      detail: {
        // EventBridge invokes no version; Lambda names the one that ran.
        requestContext: { functionArn: [`${drift.functionArn}:$LATEST`] },
        // A member that it always has: whether an object is there EventBridge does not see, since it compares leaves only
        // ("Comparison operators for use in event patterns", Amazon EventBridge User Guide).
        responsePayload: { unfinished: { started_at: [{ exists: true }] } },
      },
    },
    targets: [
      new targets.LambdaFunction(drift, {
        event: events.RuleTargetInput.fromObject({ drift: unfinished }),
      }),
    ],
  });
}

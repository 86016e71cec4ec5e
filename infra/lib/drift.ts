/** Lets a drift check of any size go on where the function's time was over. */
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

/**
 * Invokes the function again with what its answer says is unfinished.
 *
 * Schedules invoke it asynchronously, so Lambda sends its answer to its destination, the default event bus; who invokes
 * it by hand gets the answer instead, and goes on by hand. The form of the event: "Retaining records of asynchronous
 * invocations", AWS Lambda Developer Guide.
 */
export function goOn(scope: Construct, drift: lambda.Function): void {
  const unfinished = events.EventField.fromPath('$.detail.responsePayload.unfinished');
  new events.Rule(scope, 'DriftGoesOn', {
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

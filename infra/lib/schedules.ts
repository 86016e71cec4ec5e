/** Schedules of functions. */
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

/** Invokes a function on a schedule, asynchronously, with the same input each time. */
export function schedule(
  scope: Construct,
  id: string,
  at: events.Schedule,
  target: lambda.Function,
  input: object,
): events.Rule {
  const event = events.RuleTargetInput.fromObject(input);
  return new events.Rule(scope, id, {
    schedule: at,
    targets: [new targets.LambdaFunction(target, { event })],
  });
}

/** Compares the logins with what AWS recorded, every hour: the witness of the promise that every login is counted. */
import { Duration } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as events from 'aws-cdk-lib/aws-events';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { Network, Programs } from './programs';
import { schedule } from './schedules';

/** Makes the function and its schedule; it logs in as the reader, which is the caller's to say. */
export function auditFunction(
  scope: Construct,
  programs: Programs,
  userPool: cognito.IUserPool,
  network: Network,
  layer: lambda.ILayerVersion,
): lambda.Function {
  const made = programs.function(scope, 'Audit', {
    program: 'user-sync-operator',
    description: 'Compares the logins of a day with the sign-ins that AWS recorded, and changes neither',
    timeout: Duration.minutes(15),
    memorySize: 512,
    environment: {
      USER_SYNC_OPERATION: 'audit',
      USER_SYNC_USER_POOL_ID: userPool.userPoolId,
    },
    network,
    layers: [layer],
    // The next hour's is as soon.
    retryAttempts: 0,
  });
  schedule(scope, 'Audit', events.Schedule.rate(Duration.hours(1)), made, { audit: true });
  return made;
}

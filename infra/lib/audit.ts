/** Compares the logins with what AWS recorded, every hour: the witness of the promise that every login is counted. */
import { Duration } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import { Network, Programs } from './programs';
import { schedule } from './schedules';

/** What the audit needs to know. */
export interface AuditProps {
  readonly userPool: cognito.IUserPool;
  readonly network: Network;
  readonly layer: lambda.ILayerVersion;
  /** Where it is noted when triggers were away, if it can be read from the network. */
  readonly triggersParameter?: ssm.IParameter;
}

/** Makes the function and its schedule; it logs in as the reader, which is the caller's to say. */
export function auditFunction(scope: Construct, programs: Programs, props: AuditProps): lambda.Function {
  const { userPool, network, layer, triggersParameter } = props;
  const made = programs.function(scope, 'Audit', {
    program: 'user-sync-operator',
    description: 'Compares the logins of a day with the sign-ins that AWS recorded, and changes neither',
    timeout: Duration.minutes(15),
    memorySize: 512,
    environment: {
      USER_SYNC_OPERATION: 'audit',
      USER_SYNC_USER_POOL_ID: userPool.userPoolId,
      ...(triggersParameter && { USER_SYNC_TRIGGERS_PARAMETER: triggersParameter.parameterName }),
    },
    network,
    layers: [layer],
    // The next hour's is as soon.
    retryAttempts: 0,
  });
  if (triggersParameter) {
    const resources = [triggersParameter.parameterArn];
    made.addToRolePolicy(new iam.PolicyStatement({ actions: ['ssm:GetParameter'], resources }));
  }
  schedule(scope, 'Audit', events.Schedule.rate(Duration.hours(1)), made, { audit: true });
  return made;
}

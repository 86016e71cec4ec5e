/** Sees to it that the pool goes on calling the trigger: who looks when the pool is changed, and who puts back. */
import { CfnOutput, CustomResource, Duration } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import { Attachment, permitUpdate, pinned } from './pool-triggers';
import { Programs } from './programs';

/** The calls after which a pool, or a replica of it, may have other triggers. */
const POOL_CHANGES = [
  'UpdateUserPool',
  'CreateUserPoolReplica',
  'UpdateUserPoolReplica',
  'DeleteUserPoolReplica',
];

/** What puts the triggers back. */
export interface Keeper {
  /** The function that looks, and puts back what is missing. */
  readonly keeperFunction: lambda.Function;

  /** The hold, the attempts and the gaps, which people and the function write. */
  readonly parameter: ssm.StringParameter;
}

/**
 * Makes what puts the triggers back when somebody has taken them away.
 *
 * All of it waits for the resource that sets the triggers, and so is deleted before that one takes them away: afterwards it
 * would put back a function that is deleted next. The role and the parameter stop what is still running.
 */
export function keeper(
  scope: Construct,
  programs: Programs,
  attachment: Attachment,
  resource: CustomResource,
): Keeper {
  const parameter = new ssm.StringParameter(scope, 'TriggersParameter', {
    // CloudFormation writes the value again when any property differs, and with it would end a hold: leave them alone.
    description:
      "Whether the user pool's triggers are put back, and when they were missing (user-sync triggers)",
    stringValue: '{}',
  });
  const keeperFunction = programs.function(scope, 'TriggerKeeper', {
    program: 'user-sync-operator',
    description: "Puts back the user pool's two triggers when somebody has taken them away",
    // It waits for Cognito where that throttles, and where somebody else changes the pool meanwhile.
    timeout: Duration.minutes(3),
    memorySize: 256,
    environment: {
      USER_SYNC_OPERATION: 'keep-triggers',
      ...pinned(attachment),
      USER_SYNC_KEEP_TRIGGERS: 'true',
      USER_SYNC_TRIGGERS_PARAMETER: parameter.parameterName,
    },
    // After a minute; then the schedule is as soon.
    retryAttempts: 1,
  });
  permitUpdate(keeperFunction, attachment);
  permitParameter(parameter, keeperFunction);
  for (const part of [parameter, keeperFunction, keeperFunction.role!]) part.node.addDependency(resource);
  new CfnOutput(scope, 'TriggersParameterName', {
    description: 'USER_SYNC_TRIGGERS_PARAMETER, for `user-sync triggers hold`',
    value: parameter.parameterName,
  });
  return { keeperFunction, parameter };
}

/**
 * Permits to read and to write the one parameter. A version of it is read by the same action on the same ARN: IAM's
 * resource is the name, and the `:version` behind it a selector ("Actions, resources, and condition keys for AWS Systems
 * Manager"; `Selector` in "Parameter", Systems Manager API Reference).
 */
export function permitParameter(parameter: ssm.IParameter, grantee: iam.IGrantable): iam.Grant {
  const actions = ['ssm:GetParameter', 'ssm:PutParameter'];
  return iam.Grant.addToPrincipal({ grantee, actions, resourceArns: [parameter.parameterArn] });
}

/** Tells of every change of the pool itself, so that nobody waits for the next heartbeat to look. */
export function poolChanges(
  scope: Construct,
  userPool: cognito.IUserPool,
  targets: events.IRuleTarget[],
): events.Rule {
  return new events.Rule(scope, 'PoolChangesRule', {
    description: "Changes of the user pool's settings, which may have taken its triggers away",
    eventPattern: {
      source: ['aws.cognito-idp'],
      detailType: ['AWS API Call via CloudTrail'],
      detail: {
        eventSource: ['cognito-idp.amazonaws.com'],
        eventName: POOL_CHANGES,
        requestParameters: { userPoolId: [userPool.userPoolId] },
      },
    },
    targets,
  });
}

/** Sets the triggers of a pool, and what whoever sets them must know and may do. */
import { CustomResource, Duration, RemovalPolicy } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { AttachOptions } from './options';
import { Programs } from './programs';

/** The key of the context that stands in for the time of the synthesis. */
const DEPLOYMENT_KEY = 'userSyncDeployment';

/** Which function is to be both triggers of which pool. */
export interface Attachment {
  readonly userPool: cognito.IUserPool;
  readonly triggerFunction: lambda.Function;
  readonly options: AttachOptions;
}

/** The functions that were the pool's triggers before, for the trigger and for the functions that set it. */
export function chains(options?: AttachOptions): Record<string, string> {
  return {
    ...(options?.chainPostConfirmation && {
      USER_SYNC_CHAIN_POST_CONFIRMATION: options.chainPostConfirmation.functionArn,
    }),
    ...(options?.chainPostAuthentication && {
      USER_SYNC_CHAIN_POST_AUTHENTICATION: options.chainPostAuthentication.functionArn,
    }),
  };
}

/** What a function may set, whatever it is asked: who may invoke it could else make any function the trigger. */
export function pinned({ userPool, triggerFunction, options }: Attachment): Record<string, string> {
  return {
    USER_SYNC_USER_POOL_ID: userPool.userPoolId,
    USER_SYNC_TRIGGER_ARN: triggerFunction.functionArn,
    ...chains(options),
    USER_SYNC_OVERWRITE_TRIGGERS: String(options.overwrite ?? false),
  };
}

/** Permits to read all settings of the pool and to send them back. */
export function permitUpdate(setter: lambda.Function, { userPool, options }: Attachment): void {
  setter.addToRolePolicy(
    new iam.PolicyStatement({
      actions: [
        'cognito-idp:DescribeUserPool',
        'cognito-idp:UpdateUserPool',
        // The factors of MFA are no part of the two above, and an update must not change them.
        'cognito-idp:GetUserPoolMfaConfig',
        'cognito-idp:SetUserPoolMfaConfig',
      ],
      resources: [userPool.userPoolArn],
    }),
  );
  if (options.smsRole) {
    setter.addToRolePolicy(
      new iam.PolicyStatement({
        actions: ['iam:PassRole'],
        resources: [options.smsRole.roleArn],
        conditions: { StringEquals: { 'iam:PassedToService': 'cognito-idp.amazonaws.com' } },
      }),
    );
  }
  options.senderKey?.grant(setter, 'kms:CreateGrant');
}

/**
 * The custom resource that sets the triggers where they are not set already, at each deployment, and takes them away.
 *
 * A pool whose life is the stack's keeps them: it is deleted next, or the template goes on to say them. CloudFormation
 * does not set again what its template has said all along, so who took them away in a rollback would leave a pool without.
 */
export function poolTriggers(
  scope: Construct,
  programs: Programs,
  attachment: Attachment,
  endsWithPool: boolean,
): CustomResource {
  const { userPool, triggerFunction, options } = attachment;
  const setter = programs.function(scope, 'PoolTriggers', {
    program: 'user-sync-operator',
    description: "Sets the user pool's two triggers when the stack is deployed, and puts back what was there",
    // It waits for Cognito where that throttles, and where somebody else changes the pool meanwhile.
    timeout: Duration.minutes(5),
    memorySize: 256,
    environment: { USER_SYNC_OPERATION: 'pool-triggers', ...pinned(attachment) },
  });
  permitUpdate(setter, attachment);
  const provider = programs.provider(scope, 'PoolTriggersProvider', setter);
  return new CustomResource(scope, 'PoolTriggersResource', {
    serviceToken: provider.serviceToken,
    resourceType: 'Custom::UserSyncPoolTriggers',
    removalPolicy: endsWithPool ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    properties: {
      UserPoolId: userPool.userPoolId,
      FunctionArn: triggerFunction.functionArn,
      ChainPostConfirmation: options.chainPostConfirmation?.functionArn,
      ChainPostAuthentication: options.chainPostAuthentication?.functionArn,
      Overwrite: String(options.overwrite ?? false),
      // CloudFormation asks only when a property has changed, and cannot know that somebody took the triggers away: each
      // deployment asks, and a new build even where the context has said which deployment it is.
      Deployment: deployment(scope),
      Code: programs.fingerprint('user-sync-operator'),
    },
  });
}

/** What differs with each synthesis, unless the context says it. */
function deployment(scope: Construct): string {
  const given: unknown = scope.node.tryGetContext(DEPLOYMENT_KEY);
  return given === undefined ? new Date().toISOString() : String(given);
}

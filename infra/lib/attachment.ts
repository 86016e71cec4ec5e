/** What whoever sets a pool's triggers must know and may do: the function of a deployment, and the keeper. */
import { Stack, Validations } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { chainEnvironment, Chains } from './chains';
import { grantKey } from './rights';

/** The service-linked role by which Cognito sends e-mail over Amazon SES, and who assumes it. */
const EMAIL_SERVICE = 'email.cognito-idp.amazonaws.com';
const EMAIL_ROLE = 'AWSServiceRoleForAmazonCognitoIdpEmailService';

/** Which function is to be both triggers of which pool. */
export interface Attachment {
  readonly userPool: cognito.IUserPool;
  readonly triggerFunction: lambda.Function;
  readonly chains: Chains;
  readonly overwrite: boolean;
  readonly smsRole?: iam.IRole;
  readonly senderKey?: kms.IKey;
}

/** What a function may set, whatever it is asked: who may invoke it could else make any function the trigger. */
export function pinned({ userPool, triggerFunction, chains, overwrite }: Attachment): Record<string, string> {
  return {
    USER_SYNC_USER_POOL_ID: userPool.userPoolId,
    USER_SYNC_TRIGGER_ARN: triggerFunction.functionArn,
    ...chainEnvironment(chains),
    USER_SYNC_OVERWRITE_TRIGGERS: String(overwrite),
  };
}

/** Permits to read all settings of the pool and to send them back, and to know our own function by its tag. */
export function permitUpdate(setter: lambda.Function, { userPool, smsRole, senderKey }: Attachment): void {
  const stack = Stack.of(setter);
  const permit = (actions: string[], resource: string, conditions?: Record<string, unknown>) =>
    setter.grantPrincipal.addToPrincipalPolicy(
      new iam.PolicyStatement({ actions, resources: [resource], conditions }),
    );
  permit(
    [
      'cognito-idp:DescribeUserPool',
      'cognito-idp:UpdateUserPool',
      // The factors of MFA are no part of the two above, and an update must not change them.
      'cognito-idp:GetUserPoolMfaConfig',
      'cognito-idp:SetUserPoolMfaConfig',
      // An update sends the pool's tags, too.
      'cognito-idp:TagResource',
      'cognito-idp:UntagResource',
    ],
    userPool.userPoolArn,
  );
  if (smsRole)
    permit(['iam:PassRole'], smsRole.roleArn, {
      StringEquals: { 'iam:PassedToService': 'cognito-idp.amazonaws.com' },
    });
  if (senderKey) grantKey(senderKey, setter, ['kms:CreateGrant']);
  // A pool that sends by Amazon SES: "Using service-linked roles for Amazon Cognito", Amazon Cognito Developer Guide.
  const emailRole = stack.formatArn({
    service: 'iam',
    region: '',
    resource: 'role',
    resourceName: `aws-service-role/${EMAIL_SERVICE}/${EMAIL_ROLE}`,
  });
  permit(['iam:CreateServiceLinkedRole'], emailRole, {
    StringEquals: { 'iam:AWSServiceName': EMAIL_SERVICE },
  });
  // Of this account's functions: the oldest CDK can acknowledge no wildcard within an ARN.
  permit(['lambda:ListTags'], '*', { StringEquals: { 'aws:ResourceAccount': stack.account } });
  Validations.of(setter.role!).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason:
      'Whether a trigger is a former one of ours is said by its tag; which function it is is not known before.',
  });
}

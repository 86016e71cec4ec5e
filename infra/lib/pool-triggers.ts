/** Sets the triggers of a pool, and what whoever sets them must know and may do. */
import {
  Aws,
  CfnDeletionPolicy,
  CfnOutput,
  CustomResource,
  Duration,
  RemovalPolicy,
  Stack,
  Token,
  Validations,
} from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { AttachOptions } from './attach-options';
import { chainEnvironment, Chains } from './chains';
import { deployment } from './deployment';
import { Programs } from './programs';
import { UserSyncTrigger } from './user-sync-trigger';

/** Which function is to be both triggers of which pool. */
export interface Attachment {
  readonly userPool: cognito.IUserPool;
  readonly triggerFunction: lambda.Function;
  readonly chains: Chains;
  readonly overwrite: boolean;
  readonly smsRole?: iam.IRole;
  readonly senderKey?: kms.IKey;
}

/** What the triggers of a pool are set with. */
export interface PoolAttachmentProps {
  readonly programs: Programs;
  readonly userPool: cognito.IUserPool;
  readonly trigger: UserSyncTrigger;
  /** How they are set; not at all if it is left out. */
  readonly options?: AttachOptions;
}

/** Lets the pool call the trigger, and sets both triggers unless that is left to others. */
export class PoolAttachment extends Construct {
  /** What is set, if it is set. */
  public readonly attachment?: Attachment;

  /** What sets it: all that looks at the triggers, or puts them back, comes after it. */
  public readonly resource?: CustomResource;

  /** The role of the function that sets them. */
  public readonly role?: iam.IRole;

  private readonly programs: Programs;

  constructor(scope: Construct, id: string, { programs, userPool, trigger, options }: PoolAttachmentProps) {
    super(scope, id);
    this.programs = programs;
    const { triggerFunction } = trigger;
    const isOwn = userPool instanceof cognito.UserPool && Stack.of(userPool) === Stack.of(this);
    if (options && isOwn && !trigger._isAttachedTo(userPool)) trigger.attachTo(userPool);
    const isAttached = trigger._isAttachedTo(userPool);
    const permission = isAttached ? trigger._permission! : this.permission(userPool, triggerFunction);
    if (!options) {
      new CfnOutput(this, 'TriggerFunctionArn', {
        description: "Set this function as the user pool's PostConfirmation and PostAuthentication trigger",
        value: triggerFunction.functionArn,
      });
      return;
    }
    this.attachment = {
      userPool,
      triggerFunction,
      // What is chained may not be put back where the template says the triggers, since it never was this pool's.
      chains: isAttached ? {} : trigger._chains,
      overwrite: options.overwrite ?? false,
      smsRole: options.smsRole ?? this.smsRole(userPool),
      senderKey: options.senderKey ?? this.senderKey(userPool),
    };
    const setter = this.setter(this.attachment);
    this.role = setter.role;
    const staysSet = isOwn ? endsWithStack(userPool) : isAttached;
    if (isOwn && staysSet && options.keep) refuseKeep();
    this.resource = this.custom(setter, this.attachment, staysSet);
    this.resource.node.addDependency(permission, userPool);
  }

  /** By the pool's own ARN, where no template says the triggers. */
  private permission(userPool: cognito.IUserPool, triggerFunction: lambda.Function): lambda.CfnPermission {
    return new lambda.CfnPermission(this, 'Permission', {
      action: 'lambda:InvokeFunction',
      functionName: triggerFunction.functionArn,
      principal: 'cognito-idp.amazonaws.com',
      sourceAccount: Aws.ACCOUNT_ID,
      sourceArn: userPool.userPoolArn,
    });
  }

  private setter(attachment: Attachment): lambda.Function {
    const setter = this.programs.function(this, {
      program: 'user-sync-operator',
      description:
        "Sets the user pool's two triggers when the stack is deployed, and puts back what was there",
      // It waits for Cognito where that throttles, and where somebody else changes the pool meanwhile.
      timeout: Duration.minutes(5),
      memorySize: 256,
      environment: { USER_SYNC_OPERATION: 'pool-triggers', ...pinned(attachment) },
    });
    permitUpdate(setter, attachment);
    return setter;
  }

  /**
   * The custom resource that sets the triggers where they are not set already, at each deployment, and takes them away.
   *
   * A pool whose own template says them, and goes on to say them, keeps them: CloudFormation does not set again what its
   * template has said all along, so who took them away in a rollback would leave a pool without.
   */
  private custom(setter: lambda.Function, attachment: Attachment, staysSet: boolean): CustomResource {
    const { chains, overwrite } = attachment;
    return new CustomResource(this, 'Resource', {
      serviceToken: this.programs.provider(this, setter).serviceToken,
      resourceType: 'Custom::UserSyncPoolTriggers',
      removalPolicy: staysSet ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
      properties: {
        UserPoolId: attachment.userPool.userPoolId,
        FunctionArn: attachment.triggerFunction.functionArn,
        ChainPostConfirmation: chains.chainPostConfirmation?.functionArn,
        ChainPostAuthentication: chains.chainPostAuthentication?.functionArn,
        Overwrite: String(overwrite),
        // CloudFormation asks only when a property has changed, and cannot know that somebody took the triggers away: each
        // deployment asks, and a new build even where the context has said which deployment it is.
        Deployment: deployment(this),
        Code: this.programs.fingerprint('user-sync-operator'),
      },
    });
  }

  /** The role with which a pool of this app sends SMS, which CDK makes itself. */
  private smsRole(userPool: cognito.IUserPool): iam.IRole | undefined {
    const made = userPool.node.defaultChild;
    if (!(made instanceof cognito.CfnUserPool)) return undefined;
    const sms = Stack.of(userPool).resolve(made.smsConfiguration)?.snsCallerArn;
    return sms && iam.Role.fromRoleArn(this, 'SmsRole', Token.asString(sms), { mutable: false });
  }

  /** The key of the custom senders of a pool of this app. */
  private senderKey(userPool: cognito.IUserPool): kms.IKey | undefined {
    const made = userPool.node.defaultChild;
    if (!(made instanceof cognito.CfnUserPool)) return undefined;
    const key = Stack.of(userPool).resolve(made.lambdaConfig)?.kmsKeyId;
    return key && kms.Key.fromKeyArn(this, 'SenderKey', Token.asString(key));
  }
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
    ],
    userPool.userPoolArn,
  );
  if (smsRole)
    permit(['iam:PassRole'], smsRole.roleArn, {
      StringEquals: { 'iam:PassedToService': 'cognito-idp.amazonaws.com' },
    });
  senderKey?.grant(setter, 'kms:CreateGrant');
  const functions = Stack.of(setter).formatArn({ service: 'lambda', resource: 'function:*' });
  permit(['lambda:ListTags'], functions);
  Validations.of(setter.role!).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:lambda:<AWS::Region>:<AWS::AccountId>:function:*]',
    reason:
      'Whether a trigger is a former one of ours is said by its tag, and which function it is is not known before.',
  });
}

function endsWithStack(userPool: cognito.UserPool): boolean {
  const made = userPool.node.defaultChild as cognito.CfnUserPool;
  // A pool that outlives the stack would go on calling a function that is gone.
  return made.cfnOptions.deletionPolicy === CfnDeletionPolicy.DELETE;
}

function refuseKeep(): never {
  // Without the construct, CloudFormation takes the triggers away while the keeper is still there, which may put them
  // back; of such a pool nobody takes them away again.
  throw new Error(
    'CognitoUserSync: PoolTriggers.attach({ keep: true }) cannot be had of a pool that is deleted with its stack: ' +
      'whoever takes the construct out of the stack could leave the pool with a function that is gone, and nobody ' +
      'could sign in; give the pool removalPolicy: RemovalPolicy.RETAIN, or leave keep out',
  );
}

/** Lets the pool call the trigger, and sets both triggers of the pool. */
import {
  Aws,
  CfnDeletionPolicy,
  CfnOutput,
  CustomResource,
  Duration,
  RemovalPolicy,
  Stack,
  Token,
} from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { AttachOptions } from './attach-options';
import { Attachment, permitUpdate, pinned } from './attachment';
import { deployment } from './deployment';
import { Programs } from './programs';
import { UserSyncTrigger } from './user-sync-trigger';

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
    const own = this.ownPool(userPool);
    if (options && own && !trigger._isAttachedTo(userPool)) trigger.attachTo(userPool as cognito.UserPool);
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
    // A pool that outlives the stack would go on calling a function that is gone.
    const staysSet = own ? own.cfnOptions.deletionPolicy === CfnDeletionPolicy.DELETE : isAttached;
    if (own && staysSet && options.keep) refuseKeep();
    this.resource = this.custom(setter, this.attachment, staysSet);
    this.resource.node.addDependency(permission, userPool);
  }

  /** The pool, if it is one of this stack. */
  private ownPool(userPool: cognito.IUserPool): cognito.CfnUserPool | undefined {
    const isOwn = userPool instanceof cognito.UserPool && Stack.of(userPool) === Stack.of(this);
    return isOwn ? (userPool.node.defaultChild as cognito.CfnUserPool) : undefined;
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

  /** The role with which a pool of this stack sends SMS, which CDK makes itself. */
  private smsRole(userPool: cognito.IUserPool): iam.IRole | undefined {
    const made = this.ownPool(userPool);
    const sms = made && Stack.of(this).resolve(made.smsConfiguration)?.snsCallerArn;
    return sms && iam.Role.fromRoleArn(this, 'SmsRole', Token.asString(sms), { mutable: false });
  }

  /** The key of the custom senders of a pool of this stack. */
  private senderKey(userPool: cognito.IUserPool): kms.IKey | undefined {
    const made = this.ownPool(userPool);
    const key = made && Stack.of(this).resolve(made.lambdaConfig)?.kmsKeyId;
    return key && kms.Key.fromKeyArn(this, 'SenderKey', Token.asString(key));
  }
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

/** The trigger of a user pool and its queue, which know neither a pool nor a database. */
import { Aws, Duration, RemovalPolicy, Stack, Tags } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { chainEnvironment, Chains, grantChains } from './chains';
import { claimAttachment, isAttached, tell } from './claims';
import { clientMetadata } from './client-metadata';
import { TriggerOptions } from './common-props';
import { refuse, seconds, wholeNumber } from './limits';
import { Programs } from './programs';
import { grantQueue, Queues, queues } from './queues';

/** By this tag our own function is known, also when a construct was renamed and it is a former one. */
const PROGRAM_TAG = 'user-sync:program';

/** What a `UserSyncTrigger` can be told. */
export interface UserSyncTriggerProps extends TriggerOptions {
  /**
   * How long a message that was received is hidden, 60 s to 12 h: six times the consumer's timeout, and its batching window.
   *
   * @default Duration.seconds(361)
   */
  readonly visibilityTimeout?: Duration;

  /**
   * The function that was the pool's PostConfirmation trigger before. It is called first, and its answer is
   * Cognito's.
   *
   * @default - none
   */
  readonly chainPostConfirmation?: lambda.IFunction;

  /**
   * The function that was the pool's PostAuthentication trigger before. It is called first, and its answer is
   * Cognito's.
   *
   * @default - none
   */
  readonly chainPostAuthentication?: lambda.IFunction;

  /**
   * The queue to send to, of the pool's first Region, where this trigger is that of a replica in a second one.
   *
   * @default - a queue of its own, and its dead-letter queue
   */
  readonly queue?: sqs.IQueue;
}

/**
 * The function behind both triggers of a user pool, and the queue that it sends to. It refers to no pool, so it may stand in
 * a stack of its own, before the pool's, and in a second Region.
 */
export class UserSyncTrigger extends Construct {
  /** The queue between sign-ins and the database. */
  public readonly queue: sqs.IQueue;

  /** Where messages that cannot be applied wait, unless the queue was given. */
  public readonly deadLetterQueue?: sqs.IQueue;

  /** The function that is to be both triggers of a pool. */
  public readonly triggerFunction: lambda.Function;

  /** Its log, which has what could not be sent. */
  public readonly logGroup: logs.ILogGroup;

  /**
   * Both queues, unless one was given.
   *
   * @internal
   */
  public readonly _queues?: Queues;

  /**
   * How long the queue hides a message that was received.
   *
   * @internal
   */
  public readonly _visibilityTimeout: Duration;

  /**
   * Who was the trigger before.
   *
   * @internal
   */
  public readonly _chains: Chains;

  /**
   * What permits the pools of this account and Region to call the function, once one is attached.
   *
   * @internal
   */
  public _permission?: lambda.CfnPermission;

  constructor(scope: Construct, id: string, props: UserSyncTriggerProps = {}) {
    super(scope, id);
    this._visibilityTimeout = seconds(
      'visibilityTimeout',
      props.visibilityTimeout ?? Duration.seconds(361),
      60,
      43_200,
    );
    const { chainPostConfirmation, chainPostAuthentication } = props;
    this._chains = { chainPostConfirmation, chainPostAuthentication };
    for (const [prop, chain] of Object.entries(this._chains)) refuseOwn(prop, chain);
    for (const prop of ['maxReceiveCount', 'visibilityTimeout'] as const)
      if (props.queue && props[prop] !== undefined)
        refuse(prop, String(props[prop]), 'left out where queue is given: that queue has its own');
    if (!props.queue) this._queues = this.ownQueues(props);
    this.queue = props.queue ?? this._queues!.queue;
    this.deadLetterQueue = this._queues?.deadLetterQueue;
    this.triggerFunction = this.makeFunction(props);
    this.logGroup = this.triggerFunction.logGroup;
  }

  /**
   * Makes the function both triggers of a pool of this app, in this stack or in a later one, without a reference back: the
   * pools of this account and Region may call the function, whichever they are. A trigger is that of one pool.
   */
  public attachTo(userPool: cognito.UserPool): void {
    if (this._isAttachedTo(userPool)) return;
    claimAttachment(this, userPool);
    const { POST_CONFIRMATION, POST_AUTHENTICATION } = cognito.UserPoolOperation;
    // CDK would permit this one pool, beside the function: a reference back, and a permission that comes after the pool. A
    // pool that is in use would meanwhile call a function that it may not call, and nobody could sign in.
    const target = lambda.Function.fromFunctionAttributes(userPool, 'UserSyncTrigger', {
      functionArn: this.triggerFunction.functionArn,
      skipPermissions: true,
    });
    addTrigger(userPool, POST_CONFIRMATION, target, 'chainPostConfirmation');
    addTrigger(userPool, POST_AUTHENTICATION, target, 'chainPostAuthentication');
    this._permission ??= new lambda.CfnPermission(this, 'Permission', {
      action: 'lambda:InvokeFunction',
      functionName: this.triggerFunction.functionArn,
      principal: 'cognito-idp.amazonaws.com',
      sourceAccount: Aws.ACCOUNT_ID,
      sourceArn: Stack.of(this).formatArn({
        service: 'cognito-idp',
        resource: 'userpool',
        resourceName: '*',
      }),
    });
    userPool.node.addDependency(this._permission);
  }

  /**
   * Permits a pool that is no construct of this app to call the function, such as a replica in a second Region. Its triggers
   * are set otherwise: docs/operating.md, "Two Regions".
   */
  public permit(userPool: cognito.IUserPool): void {
    const id = `Permission${userPool.node.addr}`;
    if (this.node.tryFindChild(id)) return;
    tell(this, userPool);
    new lambda.CfnPermission(this, id, {
      action: 'lambda:InvokeFunction',
      functionName: this.triggerFunction.functionArn,
      principal: 'cognito-idp.amazonaws.com',
      sourceAccount: Aws.ACCOUNT_ID,
      sourceArn: userPool.userPoolArn,
    });
  }

  /**
   * Whether the pool's own template says that this is its trigger.
   *
   * @internal
   */
  public _isAttachedTo(userPool: cognito.IUserPool): boolean {
    return isAttached(this, userPool);
  }

  private ownQueues(props: UserSyncTriggerProps): Queues {
    const { encryptionKey, removalPolicy = RemovalPolicy.RETAIN } = props;
    const maxReceiveCount = wholeNumber('maxReceiveCount', props.maxReceiveCount ?? 1_000, 1, 1_000);
    const visibilityTimeout = this._visibilityTimeout;
    return queues(this, { visibilityTimeout, maxReceiveCount, encryptionKey, removalPolicy });
  }

  private makeFunction(props: UserSyncTriggerProps): lambda.Function {
    const keys = clientMetadata(props.clientMetadataKeys);
    const { referralCodeAttribute } = props;
    if (referralCodeAttribute !== undefined && !/^[^\s\p{Cc}]{1,128}$/u.test(referralCodeAttribute))
      refuse(
        'referralCodeAttribute',
        referralCodeAttribute,
        "an attribute's name, such as custom:referral_code",
      );
    const made = new Programs(props).function(this, {
      program: 'user-sync-trigger',
      description: 'PostConfirmation and PostAuthentication of the user pool: each event onto the queue',
      // Cognito waits no longer ("Customizing user pool workflows with Lambda triggers").
      timeout: Duration.seconds(5),
      memorySize: 256,
      environment: {
        USER_SYNC_QUEUE_URL: this.queue.queueUrl,
        ...(keys && { USER_SYNC_CLIENT_METADATA_KEYS: keys }),
        ...(referralCodeAttribute && { USER_SYNC_REFERRAL_CODE_ATTRIBUTE: referralCodeAttribute }),
        ...chainEnvironment(this._chains),
      },
      logRemovalPolicy: props.removalPolicy ?? RemovalPolicy.RETAIN,
      // What could not be sent is in the log.
      logKey: props.encryptionKey,
    });
    Tags.of(made).add(PROGRAM_TAG, 'trigger');
    grantQueue(this.queue, made, 'sqs:SendMessage', 'sqs:GetQueueAttributes');
    grantChains(this._chains, made);
    return made;
  }
}

function addTrigger(
  userPool: cognito.UserPool,
  operation: cognito.UserPoolOperation,
  target: lambda.IFunction,
  prop: string,
): void {
  try {
    userPool.addTrigger(operation, target);
  } catch (error) {
    throw new Error(
      `CognitoUserSync: userPool has a ${operation.operationName} trigger already: leave it out of the pool's ` +
        `triggers, and give the function as ${prop} to PoolTriggers.attach, or to UserSyncTrigger where you make one, ` +
        `which calls it first (${String(error)})`,
    );
  }
}

/** Ours would call ours, and each login would be on the queue twice. */
function refuseOwn(prop: string, chain?: lambda.IFunction): void {
  if (!(chain?.node.scope instanceof UserSyncTrigger)) return;
  throw new Error(
    `CognitoUserSync: ${prop} is ${chain.node.path}: it is the function of a UserSyncTrigger itself, and each login would ` +
      'be queued twice: leave it out; a trigger function of a former deployment is replaced without being chained',
  );
}

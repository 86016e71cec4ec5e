/** Who makes the trigger function the pool's, and how. */
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';

/** How the pool's two triggers are set. */
export interface AttachOptions {
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
   * Whether to replace a trigger of somebody else's that is not chained. Of an imported pool only.
   *
   * @default false
   */
  readonly overwrite?: boolean;

  /**
   * Whether a function puts the triggers back when somebody has taken them away: at once, and a few times an hour at
   * most. Only what is missing is put back: another function there stays, and an alarm rings. `user-sync triggers hold` stops
   * it, for an incident. Not of a pool that is deleted with its stack.
   *
   * @default false
   */
  readonly keep?: boolean;

  /**
   * The role with which the pool sends SMS, if it does: Cognito asks whoever updates such a pool for the right to
   * pass it on. Not needed of a pool of the same stack.
   *
   * @default - the pool sends no SMS
   */
  readonly smsRole?: iam.IRole;

  /**
   * The key of the pool's custom e-mail or SMS sender, if it has one: Cognito makes a grant on it for whoever
   * updates such a pool. Not needed of a pool of the same stack.
   *
   * @default - the pool has no custom sender
   */
  readonly senderKey?: kms.IKey;
}

/** Who makes the trigger function the pool's PostConfirmation and PostAuthentication trigger. */
export class PoolTriggers {
  /**
   * The construct does. Of a pool in the same stack it sets the two triggers; of any other pool a custom
   * resource changes these two settings and nothing else, refuses to replace somebody else's trigger, and puts
   * back what was there when it is deleted. Each deployment sets those that are missing: a property of the resource is
   * the time of the synthesis, or what the context says as `userSyncDeployment`.
   */
  public static attach(options: AttachOptions = {}): PoolTriggers {
    return new PoolTriggers(options);
  }

  /** You do: an output has the function's ARN. Cognito may invoke it already. */
  public static outputOnly(): PoolTriggers {
    return new PoolTriggers(undefined);
  }

  /**
   * @param attachOptions How they are set, if the construct sets them.
   */
  private constructor(public readonly attachOptions?: AttachOptions) {}
}

/** A trigger has one pool and one deployment, and a pool has one of each: whoever comes second is refused. */
import { Stack, Token } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import { Construct, IConstruct } from 'constructs';

/** A deployment, and the pool whose users it syncs. */
interface Claim {
  readonly sync: Construct;
  readonly userPool: cognito.IUserPool;
}

/** The deployments of each app. */
const claims = new WeakMap<IConstruct, Claim[]>();

/** Who consumes the queue of each trigger. */
const consumers = new WeakMap<IConstruct, IConstruct>();

/** The pools that each trigger was told. */
const pools = new WeakMap<IConstruct, cognito.IUserPool[]>();

/** The trigger that each pool's own template says. */
const triggers = new WeakMap<IConstruct, IConstruct>();

/** Fails where another deployment of the app has the pool: each would take the pool's triggers from the other. */
export function claimPool(sync: Construct, userPool: cognito.IUserPool): void {
  const { root } = sync.node;
  const known = claims.get(root) ?? [];
  const { environment } = Stack.of(sync);
  const isSame = (other: Claim) =>
    other.userPool === userPool ||
    // The replica of a pool in another Region has the same id.
    (other.userPool.userPoolId === userPool.userPoolId && Stack.of(other.sync).environment === environment);
  const other = known.find(isSame);
  if (other)
    throw new Error(
      `CognitoUserSync: userPool of ${sync.node.path} is ${userPool.node.path}, whose users ${other.sync.node.path} syncs ` +
        'already, and each would take the triggers of the pool from the other: take one of the two out, or give it ' +
        'another userPool',
    );
  claims.set(root, [...known, { sync, userPool }]);
}

/** Fails where another deployment consumes the trigger's queue: each would make dead letters of the other's logins. */
export function claimTrigger(sync: Construct, trigger: Construct, userPool: cognito.IUserPool): void {
  const other = consumers.get(trigger);
  if (other)
    throw new Error(
      `CognitoUserSync: trigger of ${sync.node.path} is ${trigger.node.path}, whose queue ${other.node.path} consumes already, ` +
        "and each would make dead letters of the other's logins: make a UserSyncTrigger for each CognitoUserSync",
    );
  const attached = triggers.get(userPool);
  if (attached && attached !== trigger)
    throw new Error(
      `CognitoUserSync: userPool of ${sync.node.path} is ${userPool.node.path}, whose trigger is ${attached.node.path}: give ` +
        'that one as trigger',
    );
  tell(trigger, userPool);
  consumers.set(trigger, sync);
}

/** Fails where the trigger is that of another pool, or the pool's own template has another of ours. */
export function claimAttachment(trigger: Construct, userPool: cognito.UserPool): void {
  const other = triggers.get(userPool);
  if (other && other !== trigger)
    throw new Error(
      `CognitoUserSync: userPool is ${userPool.node.path}, and ${trigger.node.path} cannot be attached to it: ` +
        `${other.node.path} is already: give that one as trigger, and leave this one out`,
    );
  tell(trigger, userPool);
  triggers.set(userPool, trigger);
}

/** Whether the pool's own template says that this is its trigger. */
export function isAttached(trigger: Construct, userPool: cognito.IUserPool): boolean {
  return triggers.get(userPool) === trigger;
}

/** Tells a trigger of a pool. Fails where it is certain that another is another one: its events would be dead letters. */
export function tell(trigger: Construct, userPool: cognito.IUserPool): void {
  const known = pools.get(trigger) ?? [];
  const other = known.find((pool) => areTwo(pool, userPool));
  if (other)
    throw new Error(
      `CognitoUserSync: userPool is ${userPool.node.path}, and the trigger ${trigger.node.path} is that of ` +
        `${other.node.path}: make a UserSyncTrigger for each pool`,
    );
  pools.set(trigger, [...known, userPool]);
}

/** Two that were made here are two, and so are two whose ids are known. */
function areTwo(one: cognito.IUserPool, other: cognito.IUserPool): boolean {
  if (one === other) return false;
  if (one instanceof cognito.UserPool && other instanceof cognito.UserPool) return true;
  const [id, otherId] = [one.userPoolId, other.userPoolId];
  return !Token.isUnresolved(id) && !Token.isUnresolved(otherId) && id !== otherId;
}

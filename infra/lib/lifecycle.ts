/** Follows the pool beside its triggers: heartbeats, what happens to users, changes of the pool itself. */
import { CustomResource, Duration } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as events from 'aws-cdk-lib/aws-events';
import * as targets from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { Programs } from './programs';
import { failureQueue, grantQueue } from './queues';
import { schedule } from './schedules';

/** The operations that change what the pool says of a user or a group, as docs/operating.md has them. */
const OPERATIONS = [
  'AdminCreateUser',
  'SignUp',
  'AdminConfirmSignUp',
  'ConfirmSignUp',
  'AdminUpdateUserAttributes',
  'UpdateUserAttributes',
  'AdminDeleteUserAttributes',
  'DeleteUserAttributes',
  'VerifyUserAttribute',
  'AdminDisableUser',
  'AdminEnableUser',
  'AdminSetUserPassword',
  'AdminResetUserPassword',
  'ConfirmForgotPassword',
  'AdminLinkProviderForUser',
  'AdminDisableProviderForUser',
  'AdminDeleteUser',
  'DeleteUser',
  'AdminAddUserToGroup',
  'AdminRemoveUserFromGroup',
  'DeleteGroup',
];

/** The calls after which a pool, or a replica of it, may have other triggers. */
const POOL_CHANGES = [
  'UpdateUserPool',
  'CreateUserPoolReplica',
  'UpdateUserPoolReplica',
  'DeleteUserPoolReplica',
];

/** What follows the pool. */
export interface LifecycleProps {
  readonly programs: Programs;
  readonly userPool: cognito.IUserPool;
  readonly queue: sqs.IQueue;
  readonly heartbeatInterval: Duration;
  /** Whether users whom an administrator changes are followed. */
  readonly followsUsers: boolean;
  readonly concurrency?: number;
  /** Whose triggers are set by hand may have functions of their own there, which call ours: then it does not look. */
  readonly triggerFunction?: lambda.Function;
  /** What sets the triggers. */
  readonly attached?: CustomResource;
}

/** The function, what it had to give up, and what invokes it. */
export class Lifecycle extends Construct {
  /** The function that sends heartbeats, and follows users beside sign-ins. */
  public readonly lifecycleFunction: lambda.Function;

  /** What Lambda and EventBridge could not hand over. */
  public readonly failures: sqs.Queue;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: LifecycleProps,
  ) {
    super(scope, id);
    this.failures = failureQueue(this, 'Failures');
    this.lifecycleFunction = this.makeFunction();
    this.permit();
    const rate = events.Schedule.rate(props.heartbeatInterval);
    const heartbeat = schedule(this, 'Heartbeat', rate, this.lifecycleFunction, { heartbeat: true });
    // The first deployment would look at a pool without triggers, and call for help.
    if (props.attached) heartbeat.node.addDependency(props.attached);
    if (props.followsUsers) {
      new events.Rule(this, 'Rule', {
        description: "What happens to the user pool's users beside sign-ins",
        eventPattern: {
          source: ['aws.cognito-idp'],
          detailType: ['AWS API Call via CloudTrail'],
          detail: { eventSource: ['cognito-idp.amazonaws.com'], eventName: OPERATIONS },
        },
        targets: [this.target()],
      });
    }
  }

  /** Tells of every change of the pool itself, so that nobody waits for the next heartbeat to look. */
  public watchPool(attached: CustomResource, keeper?: lambda.Function): void {
    const changes = new events.Rule(this, 'PoolChanges', {
      description: "Changes of the user pool's settings, which may have taken its triggers away",
      eventPattern: {
        source: ['aws.cognito-idp'],
        detailType: ['AWS API Call via CloudTrail'],
        detail: {
          eventSource: ['cognito-idp.amazonaws.com'],
          eventName: POOL_CHANGES,
          requestParameters: { userPoolId: [this.props.userPool.userPoolId] },
        },
      },
      // The keeper's schedule is what comes after what it did not get.
      targets: [this.target(), ...(keeper ? [new targets.LambdaFunction(keeper)] : [])],
    });
    changes.node.addDependency(attached);
  }

  private makeFunction(): lambda.Function {
    const { programs, userPool, queue, concurrency, triggerFunction } = this.props;
    return programs.function(this, {
      program: 'user-sync-lifecycle',
      description: 'Sends heartbeats, and what happens to users beside sign-ins',
      // 20 s to read the user, 10 s to publish.
      timeout: Duration.seconds(45),
      memorySize: 256,
      environment: {
        USER_SYNC_QUEUE_URL: queue.queueUrl,
        USER_SYNC_USER_POOL_ID: userPool.userPoolId,
        ...(triggerFunction && { USER_SYNC_TRIGGER_ARN: triggerFunction.functionArn }),
      },
      onFailure: { bind: () => ({ destination: this.failures.queueArn }) },
      reservedConcurrentExecutions: concurrency,
    });
  }

  private permit(): void {
    const { userPool, queue, followsUsers, triggerFunction } = this.props;
    const grantee = this.lifecycleFunction;
    grantQueue(this.failures, grantee, 'sqs:SendMessage');
    grantQueue(queue, grantee, 'sqs:SendMessage');
    const actions = [
      ...(triggerFunction ? ['cognito-idp:DescribeUserPool'] : []),
      // A call with an access token names a client, and no pool.
      ...(followsUsers ? ['cognito-idp:ListUsers', 'cognito-idp:ListUserPoolClients'] : []),
    ];
    if (actions.length > 0)
      iam.Grant.addToPrincipal({ grantee, actions, resourceArns: [userPool.userPoolArn] });
  }

  private target(): targets.LambdaFunction {
    return new targets.LambdaFunction(this.lifecycleFunction, { deadLetterQueue: this.failures });
  }
}

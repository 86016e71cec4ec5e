/** Brings AWS's own records of sign-ins onto the queue of contexts: the sources, and the function that reads them. */
import { Aws, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { LambdaDestination } from 'aws-cdk-lib/aws-logs-destinations';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { namedClients, Sources, ThreatProtectionContextOptions } from './login-context';
import { Programs } from './programs';
import { CONSUME, failureQueue, grantQueue, hiddenFor, mapRecords, Queues, queues } from './queues';

/** The calls that may be a sign-in, and those that are a sign-up, whose address is the user's first. */
const SIGN_INS = [
  'InitiateAuth',
  'RespondToAuthChallenge',
  'AdminInitiateAuth',
  'AdminRespondToAuthChallenge',
  'SignUp',
  'ConfirmSignUp',
];

/** Flows that are no sign-in, and the bulk of all calls. */
const REFRESHES = ['REFRESH_TOKEN', 'REFRESH_TOKEN_AUTH'];

/** 20 s to learn of the clients, 30 s to publish what a batch makes. */
const TIMEOUT = Duration.seconds(60);

/** CloudTrail's records of a batch: some 3 KB each, and Lambda takes 6 MB. */
const BATCH_SIZE = 1_000;

/** Five minutes apart, this is the better part of a working day in which somebody can mend what fails. */
const MAX_RECEIVES = 100;

/** What the records go through. */
export interface RecordsProps {
  readonly programs: Programs;
  readonly sources: Sources;
  readonly userPool: cognito.IUserPool;
  readonly contextQueue: sqs.Queue;
  readonly encryptionKey?: kms.IKey;
  readonly removalPolicy: RemovalPolicy;
}

/** What of it is watched. */
export interface SignInRecords {
  /** The function that makes contexts and failures of records. */
  readonly recordsFunction: lambda.Function;

  /** What EventBridge and Lambda could not hand over. */
  readonly failures: sqs.Queue;

  /** CloudTrail's records as they are, if they are asked for. */
  readonly raw?: Queues;
}

/** The function and its sources. */
export class Records extends Construct implements SignInRecords {
  public readonly recordsFunction: lambda.Function;
  public readonly failures: sqs.Queue;
  public readonly raw?: Queues;

  constructor(scope: Construct, id: string, props: RecordsProps) {
    super(scope, id);
    const { cloudTrail, threatProtection } = props.sources;
    const clients = namedClients(props.sources);
    const failures = failureQueue(this, 'Failures');
    this.failures = failures;
    this.recordsFunction = props.programs.function(this, {
      program: 'user-sync-lifecycle',
      description: "Makes contexts of logins, and failed sign-ins, of AWS's own records",
      timeout: TIMEOUT,
      memorySize: 256,
      environment: {
        USER_SYNC_CONTEXT_QUEUE_URL: props.contextQueue.queueUrl,
        USER_SYNC_USER_POOL_ID: props.userPool.userPoolId,
        ...(clients && { USER_SYNC_CONTEXT_CLIENTS: clients.join(',') }),
      },
      // CloudWatch Logs invokes it asynchronously.
      onFailure: { bind: () => ({ destination: failures.queueArn }) },
    });
    grantQueue(failures, this.recordsFunction, 'sqs:SendMessage');
    grantQueue(props.contextQueue, this.recordsFunction, 'sqs:SendMessage');
    // CloudTrail's records of sign-ins name a client, and no pool; and whose a client is decides whose the address is.
    const actions = [
      ...(cloudTrail ? ['cognito-idp:ListUserPoolClients'] : []),
      ...(clients ? [] : ['cognito-idp:DescribeUserPoolClient']),
    ];
    if (actions.length > 0) {
      const resourceArns = [props.userPool.userPoolArn];
      iam.Grant.addToPrincipal({ grantee: this.recordsFunction, actions, resourceArns });
    }
    if (threatProtection) subscription(this, this.recordsFunction, threatProtection);
    if (cloudTrail) this.raw = trail(this, this.recordsFunction, failures, props);
  }
}

/**
 * CloudTrail's records, by way of a queue: EventBridge invokes a function for each, and a queue hands over a thousand at
 * once, as fast as the function takes them.
 */
function trail(
  scope: Construct,
  target: lambda.Function,
  failures: sqs.Queue,
  { encryptionKey, removalPolicy }: RecordsProps,
): Queues {
  const raw = queues(scope, {
    visibilityTimeout: hiddenFor(TIMEOUT),
    maxReceiveCount: MAX_RECEIVES,
    encryptionKey,
    removalPolicy,
  });
  const rule = new events.Rule(scope, 'Rule', {
    description: 'Sign-ins and sign-ups, as CloudTrail records them',
    eventPattern: {
      source: ['aws.cognito-idp'],
      detailType: ['AWS API Call via CloudTrail'],
      detail: {
        eventSource: ['cognito-idp.amazonaws.com'],
        eventName: SIGN_INS,
        requestParameters: { authFlow: [{ exists: false }, { 'anything-but': REFRESHES }] },
      },
    },
  });
  rule.addTarget({
    bind: () => ({ arn: raw.queue.queueArn, deadLetterConfig: { arn: failures.queueArn } }),
  });
  for (const queue of [raw.queue, failures]) permitRule(queue, rule);
  if (encryptionKey) permitEventBridge(Stack.of(scope), encryptionKey);
  grantQueue(raw.queue, target, ...CONSUME);
  mapRecords(scope, 'Mapping', raw.queue, target, BATCH_SIZE);
  return raw;
}

/** CDK's own target permits every rule of every account where the queue has a key. */
function permitRule(queue: sqs.Queue, rule: events.Rule): void {
  queue.addToResourcePolicy(
    new iam.PolicyStatement({
      sid: 'EventBridge',
      principals: [new iam.ServicePrincipal('events.amazonaws.com')],
      actions: ['sqs:SendMessage'],
      resources: [queue.queueArn],
      conditions: { ArnEquals: { 'aws:SourceArn': rule.ruleArn } },
    }),
  );
}

/**
 * Permits EventBridge to use a key for this account's rules. Not for the one rule: it names the queue, which waits for the
 * key. The policy of a key that is imported is its owner's.
 */
function permitEventBridge(stack: Stack, key: kms.IKey): void {
  key.addToResourcePolicy(
    new iam.PolicyStatement({
      sid: 'EventBridge',
      principals: [new iam.ServicePrincipal('events.amazonaws.com')],
      actions: ['kms:GenerateDataKey', 'kms:Decrypt'],
      resources: ['*'],
      conditions: { StringEquals: { 'aws:SourceAccount': stack.account } },
    }),
  );
}

/** Threat protection's records, as CloudWatch Logs hands them over: many to an invocation. */
function subscription(
  scope: Construct,
  target: lambda.Function,
  { logGroup }: ThreatProtectionContextOptions,
): void {
  const permission = new lambda.CfnPermission(scope, 'UserAuthEventsPermission', {
    action: 'lambda:InvokeFunction',
    functionName: target.functionArn,
    principal: 'logs.amazonaws.com',
    sourceAccount: Aws.ACCOUNT_ID,
    sourceArn: logGroup.logGroupArn,
  });
  const filter = new logs.SubscriptionFilter(scope, 'UserAuthEvents', {
    logGroup,
    destination: new LambdaDestination(target, { addPermissions: false }),
    // Records of other kinds the function leaves out: the guide and real logs name these differently.
    filterPattern: logs.FilterPattern.allEvents(),
  });
  filter.node.addDependency(permission);
}

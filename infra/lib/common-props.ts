/** What is said of all programs alike, by a trigger that stands alone and by the whole. */
import { RemovalPolicy } from 'aws-cdk-lib';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { ClientMetadataKeys } from './client-metadata';

/** What is said of all programs, queues and logs alike. */
export interface CommonProps {
  /**
   * The folder of the built programs, as `make lambda` leaves it: `lambda/<program>/bootstrap`, and for the worker
   * `worker/user-sync` and `worker/Dockerfile`. For arm64 the folders are `lambda-arm64` and `worker-arm64`.
   *
   * @default - the folder `dist` beside `infra`
   */
  readonly code?: string;

  /**
   * What the programs were built for.
   *
   * @default lambda.Architecture.X86_64
   */
  readonly architecture?: lambda.Architecture;

  /**
   * A key for the queues, the trigger's log, which may hold events, and the generated secrets. It must be symmetric. The
   * policy of a key that is made in the app is added to; that of an imported one must permit `logs.<region>.amazonaws.com`
   * to use it, and `events.amazonaws.com` with `LoginContext.cloudTrail`.
   *
   * @default - keys that SQS, CloudWatch Logs and Secrets Manager own
   */
  readonly encryptionKey?: kms.IKey;

  /**
   * How long logs are kept. An undelivered event is in the trigger's log and nowhere else: replay it before.
   *
   * @default logs.RetentionDays.THREE_MONTHS
   */
  readonly logRetention?: logs.RetentionDays;

  /**
   * What becomes of the queues and the trigger's log, which may hold events, with the stack.
   *
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy;

  /**
   * From which level on the programs log.
   *
   * @default lambda.ApplicationLogLevel.INFO
   */
  readonly logLevel?: lambda.ApplicationLogLevel;

  /**
   * Whether AWS X-Ray traces the functions.
   *
   * @default lambda.Tracing.DISABLED
   */
  readonly tracing?: lambda.Tracing;
}

/** What is said of the trigger: by a `UserSyncTrigger`, or by the `CognitoUserSync` that makes its own. */
export interface TriggerOptions extends CommonProps {
  /**
   * How often a message is received before it is given up as a dead letter, 1 to 1,000. What can never be
   * applied does not wait for it. Lambda goes on receiving while the database is unavailable, and retries are 2 s to
   * 15 min apart: 1,000 outlast about ten days. The worker does not receive meanwhile.
   *
   * @default - 1000, but 100 where a `CognitoUserSync` with a worker makes the queue
   */
  readonly maxReceiveCount?: number;

  /**
   * The names under which your clients send ClientMetadata.
   *
   * @default - the documented names
   */
  readonly clientMetadataKeys?: ClientMetadataKeys;

  /**
   * The user attribute that has the referral code of a sign-up, such as `custom:referral_code`, where its
   * ClientMetadata has none: in managed login, and with identity providers, where no ClientMetadata reaches.
   *
   * @default - none: referral codes come from ClientMetadata only
   */
  readonly referralCodeAttribute?: string;
}

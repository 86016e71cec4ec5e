/** Where logins came from, and the sign-ins that failed. They have a queue of their own: no flood there delays a sign-in. */
import { RemovalPolicy } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct, IConstruct } from 'constructs';
import { Audit, AuditProps } from './audit';
import { CONSUMER_TIMEOUT } from './compute-lambda';
import { Sources } from './login-context';
import { Programs } from './programs';
import { hiddenFor, Queues, queues } from './queues';
import { Records } from './sign-in-records';

/** What the queue of contexts is to be, and what fills and audits it. */
export interface ContextsProps {
  readonly programs: Programs;
  readonly userPool: cognito.IUserPool;
  readonly maxReceiveCount: number;
  readonly encryptionKey?: kms.IKey;
  readonly removalPolicy: RemovalPolicy;
}

/** The queue of contexts, its dead-letter queue, and with a source the function that reads AWS's records, and the audit. */
export class Contexts extends Construct implements Queues {
  public readonly queue: sqs.Queue;
  public readonly deadLetterQueue: sqs.Queue;

  /** What reads AWS's records, once it is asked for. */
  public records?: Records;

  /** What compares the logins with them, once it is asked for. */
  public audit?: Audit;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: ContextsProps,
  ) {
    super(scope, id);
    const { maxReceiveCount, encryptionKey, removalPolicy } = props;
    const visibilityTimeout = hiddenFor(CONSUMER_TIMEOUT);
    const made = queues(this, { visibilityTimeout, maxReceiveCount, encryptionKey, removalPolicy });
    this.queue = made.queue;
    this.deadLetterQueue = made.deadLetterQueue;
  }

  /** Reads AWS's records, and audits them. Consumers know its types of events before it sends any. */
  public read(sources: Sources, consumer: IConstruct, audit: AuditProps): void {
    const { queue: contextQueue, props } = this;
    this.records = new Records(this, 'Records', { ...props, sources, contextQueue });
    this.records.recordsFunction.node.addDependency(consumer);
    this.audit = new Audit(this, 'Audit', audit);
  }
}

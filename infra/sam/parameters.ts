/** What the template asks of whoever deploys it: each parameter once, with its default, its meaning, and where it stands. */

/** What a parameter is given, when a stack is deployed or synthesized. */
export type Value = string | number | string[];

/** One parameter of the template. */
export interface Parameter {
  readonly type?: string;
  /** Required where it is left out. */
  readonly default?: Value;
  readonly description: string;
  /** What the construct is synthesized with, so that it is found again wherever it stands: of no other text a part. */
  readonly standIn: Value;
  /** The prop of the construct. */
  readonly cdk: string;
  readonly allowed?: Value[];
  readonly min?: number;
  readonly max?: number;
  /** The condition by which parts are there, and the value with which it is false. By default, it is true of all others. */
  readonly condition?: string;
  readonly off?: string;
}

/** By group, as the console of CloudFormation shows them. */
export const GROUPS: Record<string, Record<string, Parameter>> = {
  'What is there already': {
    UserPoolId: {
      description: 'The user pool whose users become rows',
      standIn: 'eu-west-1_StandInUserPoolId',
      cdk: 'userPool',
    },
    VpcId: {
      type: 'AWS::EC2::VPC::Id',
      description: 'The VPC from which the database can be reached',
      standIn: 'vpc-0a5a7d1b00000c0de',
      cdk: 'vpc',
    },
    SubnetIds: {
      type: 'List<AWS::EC2::Subnet::Id>',
      description:
        'Private subnets of it, in two zones at least, from which SQS and Secrets Manager can be reached',
      standIn: ['subnet-0a5a7d1b00000c0d1', 'subnet-0a5a7d1b00000c0d2'],
      cdk: 'vpcSubnets',
    },
    DatabaseHost: {
      description: "The database's host name, as its certificate has it",
      standIn: 'stand-in-database-host.example',
      cdk: 'database (host)',
    },
    DatabasePort: {
      type: 'Number',
      default: 5432,
      min: 1,
      max: 65_535,
      description: "The database's port",
      standIn: 54_933,
      cdk: 'database (port)',
    },
    DatabaseName: {
      description: 'The name of the database on it, which must be there',
      standIn: 'stand_in_database_name',
      cdk: 'databaseName',
    },
    DatabaseResourceId: {
      default: '',
      description:
        'db-... or cluster-..., by which IAM authentication is granted; not needed with DatabaseAuth=secret',
      standIn: 'db-STANDINRESOURCEID',
      cdk: 'database (resourceId)',
    },
    DatabaseSecurityGroupId: {
      default: '',
      description:
        'The security group of the database, which is opened to the sync; without, open it yourself',
      standIn: 'sg-0a5a7d1b00000c0de',
      cdk: 'database (securityGroup)',
      condition: 'OpensDatabase',
    },
    AdminSecretArn: {
      default: '',
      description:
        "The secret with the database owner's credentials, for migrations; without, run user-sync migrate and user-sync maintain yourself",
      standIn: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:stand-in-admin-AbCdEf',
      cdk: 'database (adminSecret), migrations',
      condition: 'RunsMigrations',
    },
    AlarmTopicArn: {
      default: '',
      description: 'The SNS topic that alarms go to; without, they are only shown',
      standIn: 'arn:aws:sns:eu-west-1:123456789012:stand-in-topic',
      cdk: 'alarmActions',
      condition: 'TellsTopic',
    },
  },
  "The pool's triggers": {
    ChainPostConfirmationArn: {
      default: '',
      description: "The function that is the pool's PostConfirmation trigger now, and is to be called first",
      standIn: 'arn:aws:lambda:eu-west-1:123456789012:function:stand-in-confirmation',
      cdk: 'triggers.chainPostConfirmation',
      condition: 'ChainsPostConfirmation',
    },
    ChainPostAuthenticationArn: {
      default: '',
      description:
        "The function that is the pool's PostAuthentication trigger now, and is to be called first",
      standIn: 'arn:aws:lambda:eu-west-1:123456789012:function:stand-in-authentication',
      cdk: 'triggers.chainPostAuthentication',
      condition: 'ChainsPostAuthentication',
    },
    OverwriteTriggers: {
      ...flag('OverwritesTriggers'),
      description: "Whether to replace a trigger of somebody else's that is not chained",
      cdk: 'triggers.overwrite',
    },
    KeepTriggers: {
      ...flag('KeepsTriggers'),
      description: 'Whether a function puts the triggers back when somebody has taken them away',
      cdk: 'triggers.keep',
    },
    Deployment: {
      default: '',
      description:
        'Any other text than the last time has the triggers set again, if somebody has taken them away',
      standIn: 'stand-in-deployment',
      cdk: 'userSyncDeployment (context)',
    },
  },
  Database: {
    DatabaseAuth: {
      default: 'iam',
      allowed: ['iam', 'secret'],
      description:
        'How functions log in: with tokens of IAM, or with passwords in Secrets Manager, which are made',
      standIn: 'secret',
      cdk: 'auth',
      condition: 'UsesSecrets',
      off: 'iam',
    },
    Schema: {
      default: 'public',
      description: 'The schema that holds the tables; several pools in one database have one each',
      standIn: 'stand_in_schema',
      cdk: 'schema',
    },
    RolePrefix: {
      default: 'user_sync',
      description: 'What the names of the roles begin with; two deployments on one server have two prefixes',
      standIn: 'stand_in_prefix',
      cdk: 'rolePrefix',
    },
    LedgerRetentionDays: {
      ...count(400, 31, 3_650, 3_143),
      description: 'For how many days logins stay in the ledger one by one; older ones stay counted',
      cdk: 'ledgerRetention',
    },
  },
  Consumer: {
    MemorySize: {
      ...count(512, 128, 10_240, 9_137),
      description: "The consumer's memory in MiB",
      cdk: 'compute.lambda.memorySize',
    },
    MaxConcurrency: {
      ...count(4, 2, 1_000, 937),
      description: 'Most consumers at once; each takes one connection of the database',
      cdk: 'compute.lambda.maxConcurrency',
    },
    BatchSize: {
      ...count(1_000, 1, 10_000, 7_919),
      description: 'Most messages that are applied in one transaction',
      cdk: 'compute.lambda.batchSize',
    },
    MaxReceiveCount: {
      ...count(1_000, 1, 1_000, 941),
      description: 'How often a message is received before it is given up as a dead letter',
      cdk: 'maxReceiveCount',
    },
  },
  'What is followed': {
    Lifecycle: {
      ...flag('FollowsLifecycle', 'true'),
      description:
        'Whether users whom somebody creates, changes or deletes are followed, by a trail of CloudTrail',
      cdk: 'lifecycle',
    },
    LoginContext: {
      ...flag('ReadsLoginContext'),
      description: "Whether CloudTrail's records say where logins came from",
      cdk: 'loginContext (LoginContext.cloudTrail)',
    },
    DeploymentCheck: {
      ...flag('ChecksDeployment'),
      description: 'Whether a deployment is green only when a heartbeat has come through to the database',
      cdk: 'deploymentCheck',
    },
    LogRetentionDays: {
      type: 'Number',
      default: 90,
      allowed: [30, 60, 90, 180, 365, 400, 731, 1096, 1827, 2557, 3653],
      description:
        "For how many days logs are kept; an event that could not be sent is in the trigger's log only",
      standIn: 2_557,
      cdk: 'logRetention',
    },
  },
};

/** A parameter that switches a part on with `true`. */
function flag(condition: string, byDefault = 'false') {
  return { default: byDefault, allowed: ['true', 'false'], standIn: 'true', condition, off: 'false' };
}

/** A parameter that is a whole number. */
function count(byDefault: number, min: number, max: number, standIn: number) {
  return { type: 'Number', default: byDefault, min, max, standIn };
}

/** All parameters by their names. */
export const PARAMETERS: Record<string, Parameter> = Object.assign({}, ...Object.values(GROUPS));

/** Those by which parts are there or not. */
export const SWITCHES = Object.entries(PARAMETERS).flatMap(([name, { condition, off = '' }]) =>
  condition === undefined ? [] : [{ parameter: name, condition, off }],
);

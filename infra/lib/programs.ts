import * as fs from 'node:fs';
import * as path from 'node:path';
import { ArnFormat, Duration, FileSystem, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Provider } from 'aws-cdk-lib/custom-resources';
import { Construct } from 'constructs';
import { CommonProps } from './common-props';
import { architecture, refuse } from './limits';
import { Network } from './network';
import { denyNetworkInterfacesToCode, permitNetworkInterfaces } from './network-interfaces';

/** What one function is. */
export interface ProgramProps {
  readonly program: string;
  readonly description: string;
  readonly timeout: Duration;
  readonly memorySize: number;
  readonly environment: Record<string, string>;
  readonly network?: Network;
  readonly layers?: lambda.ILayerVersion[];
  readonly onFailure?: lambda.IDestination;
  readonly onSuccess?: lambda.IDestination;
  /** How often Lambda tries an asynchronous invocation again; twice if it is left out. */
  readonly retryAttempts?: number;
  /** Most instances at once, kept free of the account's; any number if it is left out. */
  readonly reservedConcurrentExecutions?: number;
  /** Whether the function may be what invokes it. */
  readonly recursiveLoop?: lambda.RecursiveLoop;
  /** What becomes of its log with the stack; it goes if it is left out. */
  readonly logRemovalPolicy?: RemovalPolicy;
  /** What its log is encrypted with, if not with a key of CloudWatch's own. */
  readonly logKey?: kms.IKey;
}

/** What `make lambda` leaves for the worker's image. */
export const WORKER_FILES = ['user-sync', 'Dockerfile'];

/** Makes functions of the built programs, each with a role and a log group of its own. */
export class Programs {
  /** What they were built for. */
  public readonly architecture: lambda.Architecture;

  private readonly folder: string;
  private readonly retention: logs.RetentionDays;
  private readonly tracing?: lambda.Tracing;
  private readonly logging: Record<string, string>;

  constructor(props: CommonProps) {
    this.folder = props.code ?? path.join(__dirname, '..', '..', 'dist');
    this.architecture = architecture('architecture', props.architecture ?? lambda.Architecture.X86_64);
    this.retention = props.logRetention ?? logs.RetentionDays.THREE_MONTHS;
    this.tracing = props.tracing;
    this.logging = logging(props.logLevel);
  }

  /** What every program is told of its log, in a function and elsewhere. */
  public get environment(): Record<string, string> {
    return this.logging;
  }

  /** The folder of a built program. */
  public path(program: string): string {
    return this.built(path.join(this.forArchitecture('lambda'), program), ['bootstrap']);
  }

  /** The folder of the worker's image, but for the certificates. */
  public workerPath(): string {
    return this.built(this.forArchitecture('worker'), WORKER_FILES);
  }

  /** What changes when a program does. */
  public fingerprint(program: string): string {
    return FileSystem.fingerprint(this.path(program));
  }

  /** A log group for whatever is not a program. */
  public logGroup(
    scope: Construct,
    id: string,
    removalPolicy = RemovalPolicy.DESTROY,
    encryptionKey?: kms.IKey,
  ): logs.LogGroup {
    if (encryptionKey) permitLogs(Stack.of(scope), encryptionKey);
    return new logs.LogGroup(scope, id, { retention: this.retention, removalPolicy, encryptionKey });
  }

  /** A role that Lambda assumes, and that may write to one log group. */
  public role(scope: Construct, id: string, logGroup: logs.ILogGroup): iam.Role {
    const role = new iam.Role(scope, id, { assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com') });
    logGroup.grantWrite(role);
    return role;
  }

  /** The function that runs a program: the one of its concept, which is the scope. */
  public function(scope: Construct, props: ProgramProps): lambda.Function {
    const logGroup = this.logGroup(scope, 'Log', props.logRemovalPolicy, props.logKey);
    const role = this.role(scope, 'FunctionRole', logGroup);
    if (props.network) permitNetworkInterfaces(role);
    const made = new lambda.Function(scope, 'Function', {
      code: lambda.Code.fromAsset(this.path(props.program)),
      handler: 'bootstrap',
      runtime: lambda.Runtime.PROVIDED_AL2023,
      architecture: this.architecture,
      description: props.description,
      timeout: props.timeout,
      memorySize: props.memorySize,
      environment: { ...this.environment, ...props.environment },
      layers: props.layers,
      onFailure: props.onFailure,
      onSuccess: props.onSuccess,
      retryAttempts: props.retryAttempts,
      reservedConcurrentExecutions: props.reservedConcurrentExecutions,
      recursiveLoop: props.recursiveLoop,
      role,
      logGroup,
      ...(props.network && {
        vpc: props.network.vpc,
        vpcSubnets: props.network.vpcSubnets,
        securityGroups: [props.network.securityGroup],
        allowPublicSubnet: props.network.allowPublicSubnet,
      }),
    });
    if (props.network) denyNetworkInterfacesToCode(scope, role, made);
    if (this.tracing) trace(made, role, this.tracing);
    return made;
  }

  /** CDK's framework for custom resources around the function of the same concept. */
  public provider(scope: Construct, onEventHandler: lambda.Function): Provider {
    const logGroup = this.logGroup(scope, 'ProviderLog');
    const role = this.role(scope, 'ProviderRole', logGroup);
    const actions = ['lambda:InvokeFunction', 'lambda:GetFunction'];
    role.addToPolicy(new iam.PolicyStatement({ actions, resources: [onEventHandler.functionArn] }));
    // By itself the framework would permit itself every version of the handler; it calls the one.
    const frameworkOnEventRole = role.withoutPolicyUpdates();
    const provider = new Provider(scope, 'Provider', { onEventHandler, logGroup, frameworkOnEventRole });
    Validations.of(provider).acknowledge({
      id: 'AwsSolutions-L1',
      reason: "The runtime of CDK's framework function is chosen by aws-cdk-lib.",
    });
    return provider;
  }

  private forArchitecture(name: string): string {
    return path.join(this.folder, this.architecture === lambda.Architecture.ARM_64 ? `${name}-arm64` : name);
  }

  private built(folder: string, files: string[]): string {
    const missing = files.map((file) => path.join(folder, file)).find((file) => !fs.existsSync(file));
    if (missing === undefined) return folder;
    throw new Error(
      `CognitoUserSync: code has no ${path.resolve(missing)}: run \`make lambda\` first, or say with \`code\` where the built programs are`,
    );
  }
}

/**
 * Permits CloudWatch Logs to use a key for this account's log groups ("Encrypt log data in CloudWatch Logs using AWS Key
 * Management Service", Amazon CloudWatch Logs User Guide). Not for the one group: its name is made with it, and it waits
 * for the key. The policy of a key that is imported is its owner's.
 */
function permitLogs(stack: Stack, key: kms.IKey): void {
  const logGroups = stack.formatArn({
    service: 'logs',
    resource: 'log-group',
    resourceName: '*',
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
  key.addToResourcePolicy(
    new iam.PolicyStatement({
      sid: 'Logs',
      principals: [new iam.ServicePrincipal(`logs.${stack.region}.amazonaws.com`)],
      actions: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*'],
      resources: ['*'],
      conditions: { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': logGroups } },
    }),
  );
}

/** `USER_SYNC_LOG`, in the words of the programs; nothing where they are to log as they do by themselves. */
function logging(level?: lambda.ApplicationLogLevel): Record<string, string> {
  if (level === undefined) return {};
  if (level === lambda.ApplicationLogLevel.FATAL)
    refuse('logLevel', level, 'ERROR at most: the programs know no other level above it');
  return { USER_SYNC_LOG: level.toLowerCase() };
}

/** As `tracing` of a function, but with the rights in the role's own policy, which the function waits for. */
function trace(target: lambda.Function, role: iam.Role, mode: lambda.Tracing): void {
  (target.node.defaultChild as lambda.CfnFunction).tracingConfig = { mode };
  if (mode === lambda.Tracing.DISABLED) return;
  role.addToPolicy(
    new iam.PolicyStatement({
      sid: 'Tracing',
      actions: ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'],
      resources: ['*'],
    }),
  );
  Validations.of(role).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'X-Ray takes no narrower resource ("Actions, resources, and condition keys for AWS X-Ray").',
  });
}

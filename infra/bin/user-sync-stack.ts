/** The sync, beside a user pool, a network and a database that are there already. */
import { Annotations, Duration, Stack } from 'aws-cdk-lib';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import {
  CognitoUserSync,
  DatabaseAuth,
  DriftCheck,
  LoginContext,
  Migrations,
  PoolTriggers,
  UserSyncDatabase,
} from '../lib';
import { operatorsOutputs } from './outputs';
import { Settings } from './settings';

/** One environment, as its file of settings says. */
export class UserSyncStack extends Stack {
  constructor(
    scope: Construct,
    id: string,
    private readonly settings: Settings,
  ) {
    super(scope, id, {
      description: 'Every user of a user pool as a row in your PostgreSQL',
      env: { account: settings.account, region: settings.region },
    });
    const { adminSecretArn, driftCheckHours, heartbeatMinutes, recordRetentionDays, logLevel } = settings;
    const topic = this.given('Topic', settings.alarmTopicArn, sns.Topic.fromTopicArn);
    const sync = new CognitoUserSync(this, 'Sync', {
      code: settings.code,
      architecture:
        settings.architecture === 'arm64' ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
      userPool: cognito.UserPool.fromUserPoolId(this, 'Users', settings.userPoolId),
      vpc: this.network(),
      database: this.database(),
      databaseName: settings.databaseName,
      schema: settings.schema,
      rolePrefix: settings.rolePrefix,
      auth: settings.auth === 'secret' ? DatabaseAuth.secret() : DatabaseAuth.iam(),
      migrations: adminSecretArn ? Migrations.RUN : Migrations.SKIP,
      triggers: this.triggers(),
      referralCodeAttribute: settings.referralCodeAttribute,
      lifecycle: settings.lifecycle,
      lifecycleConcurrency: settings.lifecycleConcurrency,
      driftCheck: driftCheckHours === undefined ? undefined : every(driftCheckHours),
      heartbeatInterval: heartbeatMinutes === undefined ? undefined : Duration.minutes(heartbeatMinutes),
      deploymentCheck: settings.deploymentCheck,
      commandTask: settings.commandTask ? {} : undefined,
      logLevel: logLevel && lambda.ApplicationLogLevel[logLevel],
      ledgerRetention: days(settings.retentionDays),
      recordRetention: days(recordRetentionDays),
      contextQueue: settings.contextQueue,
      loginContext: this.loginContext(),
      encryptionKey: this.given('Key', settings.encryptionKeyArn, kms.Key.fromKeyArn),
      alarmActions: topic && [new SnsAction(topic)],
    });
    operatorsOutputs(this, sync, settings.userPoolId);
  }

  /** Something of elsewhere, if the settings name it. */
  private given<T>(
    id: string,
    arn: string | undefined,
    from: (scope: Construct, id: string, arn: string) => T,
  ): T | undefined {
    return arn === undefined ? undefined : from(this, id, arn);
  }

  private network(): ec2.IVpc {
    const { vpcId, availabilityZones, subnetIds: privateSubnetIds } = this.settings;
    const vpc = ec2.Vpc.fromVpcAttributes(this, 'Network', { vpcId, availabilityZones, privateSubnetIds });
    // No route is added to these subnets, so their route tables are not asked for.
    for (const subnet of vpc.privateSubnets)
      Annotations.of(subnet).acknowledgeWarning('@aws-cdk/aws-ec2:noSubnetRouteTableId');
    return vpc;
  }

  private database(): UserSyncDatabase {
    const { databaseHost, databasePort, databaseResourceId, databaseSecurityGroupId, adminSecretArn } =
      this.settings;
    return UserSyncDatabase.fromAttributes({
      host: databaseHost,
      port: databasePort,
      resourceId: databaseResourceId,
      securityGroup: this.given('DatabaseGroup', databaseSecurityGroupId, (scope, id, given) =>
        ec2.SecurityGroup.fromSecurityGroupId(scope, id, given),
      ),
      adminSecret: this.given('Admin', adminSecretArn, (scope, id, given) =>
        secretsmanager.Secret.fromSecretCompleteArn(scope, id, given),
      ),
    });
  }

  private triggers(): PoolTriggers {
    const { settings } = this;
    if (settings.attachTriggers === false) return PoolTriggers.outputOnly();
    const chained = (id: string, given?: string) =>
      this.given(id, given, (scope, name, arn) => lambda.Function.fromFunctionArn(scope, name, arn));
    return PoolTriggers.attach({
      chainPostConfirmation: chained('PostConfirmation', settings.chainPostConfirmationArn),
      chainPostAuthentication: chained('PostAuthentication', settings.chainPostAuthenticationArn),
      overwrite: settings.overwriteTriggers,
      keep: settings.keepTriggers,
      smsRole: this.given('Sms', settings.smsRoleArn, (scope, id, given) =>
        iam.Role.fromRoleArn(scope, id, given, { mutable: false }),
      ),
      senderKey: this.given('Sender', settings.senderKeyArn, kms.Key.fromKeyArn),
    });
  }

  private loginContext(): LoginContext[] | undefined {
    const { loginContextCloudTrail, loginContextLogGroup, loginContextClients: clients } = this.settings;
    const logGroup = this.given('UserAuthEvents', loginContextLogGroup, (scope, id, name) =>
      logs.LogGroup.fromLogGroupName(scope, id, name),
    );
    const sources = [
      ...(loginContextCloudTrail ? [LoginContext.cloudTrail({ clients })] : []),
      ...(logGroup ? [LoginContext.threatProtection({ logGroup, clients })] : []),
    ];
    return sources.length > 0 ? sources : undefined;
  }
}

const every = (hours: number): DriftCheck =>
  hours === 0 ? DriftCheck.none() : DriftCheck.every(Duration.hours(hours));

function days(given?: number): Duration | undefined {
  return given === undefined ? undefined : Duration.days(given);
}

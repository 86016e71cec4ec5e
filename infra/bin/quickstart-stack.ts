/** All of it, from nothing, to try it: what is deployed rolls back clean, and is protected in a second step. */
import { RemovalPolicy, Stack, StackProps, Validations } from 'aws-cdk-lib';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { CognitoUserSync, UserSyncDatabase } from '../lib';
import { operatorsOutputs } from './outputs';

/** The options of the quickstart. */
export interface QuickstartProps extends StackProps {
  /** The folder of the built programs. */
  readonly code?: string;

  /** Where the alarms go. */
  readonly alarmTopicArn?: string;

  /**
   * Whether the pool and the database are protected from being deleted, and a snapshot outlives the database. A first
   * deployment that fails could not take them away then, so this is for the second one.
   */
  readonly protect?: boolean;

  /** Whether the database has a standby in a second zone, which costs as much again. */
  readonly multiAz?: boolean;
}

/** A user pool, a network without a way out, a database, and the sync. */
export class Quickstart extends Stack {
  constructor(scope: Construct, id: string, props: QuickstartProps = {}) {
    super(scope, id, props);
    const { protect = false, multiAz = false } = props;
    const userPool = this.userPool(protect);
    const vpc = this.vpc();
    const database = UserSyncDatabase.fromInstance(this.database(vpc, protect, multiAz));
    const alarmTopic = props.alarmTopicArn
      ? sns.Topic.fromTopicArn(this, 'Topic', props.alarmTopicArn)
      : undefined;
    const sync = new CognitoUserSync(this, 'Sync', {
      userPool,
      vpc,
      database,
      databaseName: 'app',
      code: props.code,
      endpoints: { sqs: true, secretsManager: true },
      deploymentCheck: true,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
      alarmActions: alarmTopic && [new SnsAction(alarmTopic)],
    });
    operatorsOutputs(this, sync, userPool.userPoolId);
  }

  private userPool(deletionProtection: boolean): cognito.UserPool {
    const pool = new cognito.UserPool(this, 'Users', {
      selfSignUpEnabled: true,
      signInAliases: { email: true },
      autoVerify: { email: true },
      accountRecovery: cognito.AccountRecovery.EMAIL_ONLY,
      passwordPolicy: {
        minLength: 12,
        requireLowercase: true,
        requireUppercase: true,
        requireDigits: true,
        requireSymbols: true,
      },
      mfa: cognito.Mfa.OPTIONAL,
      mfaSecondFactor: { otp: true, sms: false },
      deletionProtection,
      // Users outlive the stack, except where it was never made.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    pool.addClient('Client', { authFlows: { userSrp: true }, preventUserExistenceErrors: true });
    Validations.of(pool).acknowledge(
      { id: 'AwsSolutions-COG2', reason: 'A second factor is offered, and left to each user.' },
      { id: 'AwsSolutions-COG8', reason: 'The Plus plan costs by user; the sync needs none of it.' },
    );
    return pool;
  }

  private vpc(): ec2.Vpc {
    const vpc = new ec2.Vpc(this, 'Network', {
      maxAzs: 2,
      natGateways: 0,
      subnetConfiguration: [{ name: 'Isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 24 }],
    });
    Validations.of(vpc).acknowledge({
      id: 'AwsSolutions-VPC7',
      reason: 'Nothing goes in or out of this network but to AWS; flow logs are for whoever adds more to it.',
    });
    return vpc;
  }

  private database(vpc: ec2.Vpc, protect: boolean, multiAz: boolean): rds.DatabaseInstance {
    const engine = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_17_9 });
    const database = new rds.DatabaseInstance(this, 'Database', {
      engine,
      vpc,
      vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
      instanceType: ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MEDIUM),
      databaseName: 'app',
      credentials: rds.Credentials.fromGeneratedSecret('app_owner'),
      iamAuthentication: true,
      storageEncrypted: true,
      multiAz,
      deletionProtection: protect,
      // It is never kept, as the pool is: the network could not be deleted around it.
      deleteAutomatedBackups: !protect,
      removalPolicy: protect ? RemovalPolicy.SNAPSHOT : RemovalPolicy.DESTROY,
      caCertificate: rds.CaCertificate.RDS_CA_RSA2048_G1,
      parameterGroup: new rds.ParameterGroup(this, 'Parameters', {
        engine,
        description: 'Connections with TLS only',
        parameters: { 'rds.force_ssl': '1' },
      }),
    });
    Validations.of(database).acknowledge(
      {
        id: 'AwsSolutions-RDS3',
        reason: 'One zone is enough to try it; with multiAz there are two.',
      },
      {
        id: 'AwsSolutions-RDS10',
        reason: 'A first deployment that fails must leave nothing behind; protect is the second step.',
      },
      {
        id: 'AwsSolutions-RDS11',
        reason: 'The network lets in one security group; another port would hide nothing.',
      },
      {
        id: 'AwsSolutions-SMG4',
        reason:
          "The owner's credentials are used by deployments only; rotate them with DatabaseInstance.addRotationSingleUser.",
      },
    );
    return database;
  }
}

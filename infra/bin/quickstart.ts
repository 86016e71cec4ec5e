import { RemovalPolicy, Stack, StackProps, Validations } from 'aws-cdk-lib';
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
}

/** All of it, from nothing: a user pool, a network without a way out, a database, and the sync. */
export class Quickstart extends Stack {
  constructor(scope: Construct, id: string, props: QuickstartProps = {}) {
    super(scope, id, props);
    const userPool = this.userPool();
    const vpc = this.vpc();
    const database = UserSyncDatabase.fromInstance(this.database(vpc));
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
      alarmTopic,
    });
    operatorsOutputs(this, sync, userPool.userPoolId);
  }

  private userPool(): cognito.UserPool {
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
      deletionProtection: true,
      removalPolicy: RemovalPolicy.RETAIN,
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

  private database(vpc: ec2.Vpc): rds.DatabaseInstance {
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
      multiAz: true,
      deletionProtection: true,
      removalPolicy: RemovalPolicy.SNAPSHOT,
      caCertificate: rds.CaCertificate.RDS_CA_RSA2048_G1,
      parameterGroup: new rds.ParameterGroup(this, 'Parameters', {
        engine,
        description: 'Connections with TLS only',
        parameters: { 'rds.force_ssl': '1' },
      }),
    });
    Validations.of(database).acknowledge(
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

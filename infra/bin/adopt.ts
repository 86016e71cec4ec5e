import { Stack, StackProps, Validations } from 'aws-cdk-lib';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import * as sns from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { CognitoUserSync, Migrations, PoolTriggers, UserSyncDatabase } from '../lib';
import { operatorsOutputs } from './outputs';

/** What the context says of what is there; see infra/README.md. */
export interface AdoptProps extends StackProps {
  /** The folder of the built programs. */
  readonly code?: string;
  readonly userPoolId: string;
  readonly vpcId: string;
  readonly availabilityZones: string[];
  readonly subnetIds: string[];
  readonly databaseHost: string;
  readonly databaseName: string;
  readonly databasePort?: number;
  readonly databaseResourceId: string;
  readonly databaseSecurityGroupId?: string;
  readonly schema?: string;
  readonly rolePrefix?: string;
  readonly adminSecretArn?: string;
  readonly chainPostConfirmationArn?: string;
  readonly chainPostAuthenticationArn?: string;
  readonly keepTriggers?: boolean;
  readonly alarmTopicArn?: string;
}

/** The sync, beside a user pool, a network and a database that are there already. */
export class Adopt extends Stack {
  constructor(scope: Construct, id: string, props: AdoptProps) {
    super(scope, id, props);
    const adminSecret = props.adminSecretArn
      ? secretsmanager.Secret.fromSecretCompleteArn(this, 'Admin', props.adminSecretArn)
      : undefined;
    const chained = (name: string, arn?: string) =>
      arn ? lambda.Function.fromFunctionArn(this, name, arn) : undefined;
    const { vpcId, availabilityZones, subnetIds: privateSubnetIds } = props;
    const vpc = ec2.Vpc.fromVpcAttributes(this, 'Network', { vpcId, availabilityZones, privateSubnetIds });
    Validations.of(vpc).acknowledge({
      id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
      reason: 'No route is added to these subnets, so their route tables are not asked for.',
    });
    const sync = new CognitoUserSync(this, 'Sync', {
      code: props.code,
      userPool: cognito.UserPool.fromUserPoolId(this, 'Users', props.userPoolId),
      vpc,
      database: UserSyncDatabase.fromAttributes({
        host: props.databaseHost,
        port: props.databasePort,
        resourceId: props.databaseResourceId,
        securityGroup: props.databaseSecurityGroupId
          ? ec2.SecurityGroup.fromSecurityGroupId(this, 'DatabaseGroup', props.databaseSecurityGroupId)
          : undefined,
        adminSecret,
      }),
      databaseName: props.databaseName,
      schema: props.schema,
      rolePrefix: props.rolePrefix,
      migrations: adminSecret ? Migrations.RUN : Migrations.SKIP,
      triggers: PoolTriggers.attach({
        chainPostConfirmation: chained('PostConfirmation', props.chainPostConfirmationArn),
        chainPostAuthentication: chained('PostAuthentication', props.chainPostAuthenticationArn),
        keep: props.keepTriggers,
      }),
      alarmActions: props.alarmTopicArn
        ? [new SnsAction(sns.Topic.fromTopicArn(this, 'Topic', props.alarmTopicArn))]
        : undefined,
    });
    operatorsOutputs(this, sync, props.userPoolId);
  }
}

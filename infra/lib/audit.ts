/** Compares the logins with what AWS recorded, every hour: the witness of the promise that every login is counted. */
import { CustomResource, Duration } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import { Certificates } from './certificates';
import { Login } from './logins';
import { Network } from './network';
import { Programs } from './programs';
import { schedule } from './schedules';

/** What the audit needs to know. */
export interface AuditProps {
  readonly programs: Programs;
  readonly userPool: cognito.IUserPool;
  readonly network: Network;
  readonly certificates: Certificates;
  readonly login: Login;
  readonly migration?: CustomResource;
  /** Where it is noted when triggers were away, if it can be read from the network. */
  readonly triggersParameter?: ssm.IParameter;
}

/** The function and its schedule. */
export class Audit extends Construct {
  /** The function that compares, and changes neither. */
  public readonly auditFunction: lambda.Function;

  constructor(scope: Construct, id: string, props: AuditProps) {
    super(scope, id);
    const { triggersParameter } = props;
    const made = props.programs.function(this, {
      program: 'user-sync-operator',
      description: 'Compares the logins of a day with the sign-ins that AWS recorded, and changes neither',
      timeout: Duration.minutes(15),
      memorySize: 512,
      environment: {
        USER_SYNC_OPERATION: 'audit',
        USER_SYNC_USER_POOL_ID: props.userPool.userPoolId,
        ...(triggersParameter && { USER_SYNC_TRIGGERS_PARAMETER: triggersParameter.parameterName }),
      },
      network: props.network,
      layers: [props.certificates.layer],
      // The next hour's is as soon.
      retryAttempts: 0,
    });
    if (triggersParameter) {
      const resourceArns = [triggersParameter.parameterArn];
      iam.Grant.addToPrincipal({ grantee: made, actions: ['ssm:GetParameter'], resourceArns });
    }
    for (const [name, value] of Object.entries(props.login.bind(made))) made.addEnvironment(name, value);
    if (props.migration) made.node.addDependency(props.migration);
    schedule(this, 'Schedule', events.Schedule.rate(Duration.hours(1)), made, { audit: true });
    this.auditFunction = made;
  }
}

/** Answers questions about the rows, in the VPC, to those outside who ask. Nothing of it changes a row, or asks Cognito. */
import { CustomResource, Duration } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { Certificates } from './certificates';
import { Login } from './logins';
import { Network } from './network';
import { Programs } from './programs';

/** Which rows are read, and as whom. */
export interface RowsProps {
  readonly programs: Programs;
  readonly network: Network;
  readonly certificates: Certificates;
  readonly login: Login;
  readonly migration?: CustomResource;
}

/** The function that reads the rows. */
export class Rows extends Construct {
  /** The function, which answers whom may invoke it. */
  public readonly rowsFunction: lambda.Function;

  constructor(scope: Construct, id: string, props: RowsProps) {
    super(scope, id);
    this.rowsFunction = props.programs.function(this, {
      program: 'user-sync-operator',
      description: 'Answers what the rows say to those who ask outside of the VPC, and changes none',
      timeout: Duration.seconds(60),
      memorySize: 512,
      environment: { USER_SYNC_OPERATION: 'rows' },
      network: props.network,
      layers: [props.certificates.layer],
    });
    for (const [name, value] of Object.entries(props.login.bind(this.rowsFunction)))
      this.rowsFunction.addEnvironment(name, value);
    if (props.migration) this.rowsFunction.node.addDependency(props.migration);
  }
}

/** Permits to ask a function: the one that is deployed, and no other version. */
export function grantAsk(asked: lambda.IFunction, grantee: iam.IGrantable): iam.Grant {
  return iam.Grant.addToPrincipal({
    grantee,
    actions: ['lambda:InvokeFunction'],
    resourceArns: [asked.functionArn],
  });
}

/** The VPC endpoints that are asked for. Each takes its service's name for the whole VPC. */
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct } from 'constructs';

/** The VPC endpoints that are to be made. A VPC takes one endpoint of a service. */
export interface EndpointOptions {
  /**
   * Amazon SQS.
   *
   * @default false
   */
  readonly sqs?: boolean;

  /**
   * AWS Secrets Manager.
   *
   * @default false
   */
  readonly secretsManager?: boolean;

  /**
   * Amazon ECR, both its API and its registry.
   *
   * @default false
   */
  readonly ecr?: boolean;

  /**
   * Amazon CloudWatch Logs.
   *
   * @default false
   */
  readonly logs?: boolean;

  /**
   * Amazon S3, by a gateway.
   *
   * @default false
   */
  readonly s3?: boolean;

  /**
   * Who is let in.
   *
   * @default - the VPC's CIDR
   */
  readonly peers?: ec2.IPeer[];

  /**
   * Whether they may be made in a VPC that is imported, whose other users they change.
   *
   * @default false
   */
  readonly onImportedVpc?: boolean;
}

/** What the endpoints are made of. */
export interface EndpointsProps {
  readonly vpc: ec2.IVpc;
  readonly vpcSubnets?: ec2.SubnetSelection;
  readonly options: EndpointOptions;
}

/** The endpoints. */
export class Endpoints extends Construct {
  constructor(scope: Construct, id: string, { vpc, vpcSubnets, options }: EndpointsProps) {
    super(scope, id);
    const services = ec2.InterfaceVpcEndpointAwsService;
    const asked: Record<string, ec2.InterfaceVpcEndpointAwsService> = {
      ...(options.sqs && { Sqs: services.SQS }),
      ...(options.secretsManager && { SecretsManager: services.SECRETS_MANAGER }),
      ...(options.ecr && { Ecr: services.ECR, EcrDocker: services.ECR_DOCKER }),
      ...(options.logs && { Logs: services.CLOUDWATCH_LOGS }),
    };
    for (const [name, service] of Object.entries(asked)) {
      const open = options.peers === undefined;
      const endpoint = new ec2.InterfaceVpcEndpoint(this, name, { vpc, service, subnets: vpcSubnets, open });
      for (const peer of options.peers ?? []) endpoint.connections.allowDefaultPortFrom(peer, 'user-sync');
    }
    if (options.s3) {
      const service = ec2.GatewayVpcEndpointAwsService.S3;
      new ec2.GatewayVpcEndpoint(this, 'S3', { vpc, service, subnets: vpcSubnets && [vpcSubnets] });
    }
  }
}

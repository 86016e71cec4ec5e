/** The VPC endpoints that are asked for. Never one to Cognito: a pool with a domain refuses it. */
import { Resource, Stack, Validations } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct, IConstruct } from 'constructs';
import { refuse } from './limits';
import { paths } from './subnets';

/**
 * The VPC endpoints to make, each only if it is said. A VPC takes one endpoint of a service, and the private DNS of one is
 * the whole VPC's: from then on everybody in the VPC reaches the service by it, or not at all.
 */
export interface EndpointOptions {
  /**
   * Amazon SQS: the consumer's, for what is rejected or retried; the worker's always.
   *
   * @default false
   */
  readonly sqs?: boolean;

  /**
   * AWS Secrets Manager: the migrator's, and with `DatabaseAuth.secret` everybody's who logs in.
   *
   * @default false
   */
  readonly secretsManager?: boolean;

  /**
   * Both of Amazon ECR, from which tasks of Fargate get their image; the layers come from S3.
   *
   * @default false
   */
  readonly ecr?: boolean;

  /**
   * Amazon CloudWatch Logs: of tasks of Fargate. Functions need none for their logs.
   *
   * @default false
   */
  readonly logs?: boolean;

  /**
   * Amazon S3's gateway, which is free, in the route tables of the subnets.
   *
   * @default false
   */
  readonly s3?: boolean;

  /**
   * Who is let in, beside this deployment itself. Whoever is not loses the service, since private DNS leads them here.
   *
   * @default - all of the VPC: its CIDR blocks
   */
  readonly peers?: ec2.IPeer[];

  /**
   * Whether they are to be made in a VPC that is imported, in which others may have relied on the way there was.
   *
   * @default false
   */
  readonly onImportedVpc?: boolean;
}

/** The services that something here may need, as `endpoints` names them. */
export const SERVICES = ['sqs', 'secretsManager', 'ecr', 'logs', 's3'] as const;

/** One of them. */
export type Service = (typeof SERVICES)[number];

/** What stands where. */
export interface EndpointsProps {
  readonly vpc: ec2.IVpc;
  readonly vpcSubnets?: ec2.SubnetSelection;
  readonly options: EndpointOptions;
  /** Whoever of ours connects. */
  readonly securityGroup: ec2.ISecurityGroup;
}

/** The endpoints that are asked for, after refusing what would take a service away from others unasked. */
export class Endpoints extends Construct {
  private readonly interfaces: ec2.InterfaceVpcEndpoint[] = [];

  constructor(scope: Construct, id: string, { vpc, vpcSubnets, options, securityGroup }: EndpointsProps) {
    super(scope, id);
    const named = SERVICES.filter((service) => options[service]);
    const interfaces = named.flatMap(interfacesOf);
    checkPeers(interfaces.length > 0, options.peers);
    if (named.length > 0) requireConsent(vpc, options, named);
    if (interfaces.length > 0) requireNames(vpc);
    const peers = interfaces.length > 0 ? (options.peers ?? cidrBlocks(vpc)) : [];
    for (const [name, service] of interfaces) {
      const subnets = { ...vpcSubnets, onePerAz: true };
      const endpoint = new ec2.InterfaceVpcEndpoint(this, name, { vpc, service, subnets, open: false });
      this.interfaces.push(endpoint);
      endpoint.connections.allowDefaultPortFrom(securityGroup, 'user-sync');
      for (const peer of peers) endpoint.connections.allowDefaultPortFrom(peer, 'Whoever else uses it');
      // Peers that are named are looked at.
      if (!options.peers)
        Validations.of(endpoint).acknowledge({
          id: 'AwsSolutions-EC23',
          reason: "The VPC's own block is let in, which is known at deployment only.",
        });
    }
    if (options.s3) this.gateway(vpc, vpcSubnets);
  }

  /** Lets another group of ours in. */
  public letIn(group: ec2.ISecurityGroup): void {
    for (const { connections } of this.interfaces) connections.allowDefaultPortFrom(group, 'user-sync');
  }

  /** S3's gateway, in the route tables of the subnets and in no other. */
  private gateway(vpc: ec2.IVpc, vpcSubnets?: ec2.SubnetSelection): void {
    const { subnets, isPendingLookup } = vpc.selectSubnets(vpcSubnets);
    // Before the CLI has looked the VPC up, there are no route tables: what is deployed comes after.
    if (isPendingLookup) return;
    const unknown = subnets.filter(({ routeTable }) => !routeTable?.routeTableId);
    if (unknown.length > 0)
      refuse(
        'endpoints.s3',
        true,
        `left out, since nobody knows the route tables of ${paths(unknown)}, in which the gateway goes; or import ` +
          'the VPC with privateSubnetRouteTableIds, or the subnets with routeTableId',
      );
    new ec2.GatewayVpcEndpoint(this, 'S3', {
      vpc,
      service: ec2.GatewayVpcEndpointAwsService.S3,
      subnets: [{ subnets }],
    });
  }
}

/** `{ sqs: true, … }`, as it is to be said of services that are missing. */
export function asProp(services: Service[], vpc: ec2.IVpc): string {
  const said: string[] = services.map((service) => `${service}: true`);
  if (!Resource.isOwnedResource(vpc)) said.push('onImportedVpc: true');
  return `{ ${said.join(', ')} }`;
}

function interfacesOf(service: Service): [string, ec2.InterfaceVpcEndpointAwsService][] {
  const { SQS, SECRETS_MANAGER, ECR, ECR_DOCKER, CLOUDWATCH_LOGS } = ec2.InterfaceVpcEndpointAwsService;
  switch (service) {
    case 'sqs':
      return [['Sqs', SQS]];
    case 'secretsManager':
      return [['SecretsManager', SECRETS_MANAGER]];
    case 'ecr':
      return [
        ['Ecr', ECR],
        ['EcrDocker', ECR_DOCKER],
      ];
    case 'logs':
      return [['Logs', CLOUDWATCH_LOGS]];
    case 's3':
      return [];
  }
}

function checkPeers(areUsed: boolean, peers?: ec2.IPeer[]): void {
  if (peers && !areUsed)
    refuse('endpoints.peers', 'given', 'left out where no interface endpoint is made: nobody is let in');
  if (peers?.length === 0)
    refuse(
      'endpoints.peers',
      [],
      'one peer at least, or left out for all of the VPC: others lose the service',
    );
}

function requireConsent(vpc: ec2.IVpc, options: EndpointOptions, named: Service[]): void {
  if (options.onImportedVpc || Resource.isOwnedResource(vpc)) return;
  refuse(
    'endpoints.onImportedVpc',
    options.onImportedVpc ?? false,
    `true for ${named.join(', ')} in the imported VPC ${vpc.node.path}: private DNS leads everybody in it to these ` +
      'endpoints, also those who had another way; or leave endpoints out, and let `connections` into the endpoints that are there',
  );
}

/** "Private DNS names for interface endpoints" (AWS PrivateLink Guide) need both settings of the VPC. */
function requireNames(vpc: ec2.IVpc): void {
  const made = vpc.node.defaultChild;
  if (!(made instanceof ec2.CfnVPC)) return;
  for (const prop of ['enableDnsHostnames', 'enableDnsSupport'] as const) {
    if (made[prop] === false)
      refuse(
        'endpoints',
        `given, and the VPC's ${prop} false`,
        `left out, or ${prop} true: names lead to them`,
      );
  }
}

/** All blocks of the VPC that are known: the first, and those that this app associates. */
function cidrBlocks(vpc: ec2.IVpc): ec2.IPeer[] {
  let first: string;
  try {
    first = vpc.vpcCidrBlock;
  } catch {
    return refuse(
      'vpc',
      vpc.node.path,
      'imported with its vpcCidrBlock, or endpoints.peers must say who is let in to the endpoints',
    );
  }
  const more = vpc.node.root.node.findAll().flatMap((child) => {
    if (!(child instanceof ec2.CfnVPCCidrBlock) || child.cidrBlock === undefined) return [];
    const id = (of: string, at: IConstruct) => JSON.stringify(Stack.of(at).resolve(of));
    return id(child.vpcId, child) === id(vpc.vpcId, vpc) ? [child.cidrBlock] : [];
  });
  return [...new Set([first, ...more])].map((block) => ec2.Peer.ipv4(block));
}

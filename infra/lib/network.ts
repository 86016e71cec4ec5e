/** Where in the VPC programs stand, and whether they reach from there what they need. */
import { Annotations, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct, IConstruct } from 'constructs';
import { UserSyncDatabase } from './database';
import { asProp, EndpointOptions, Endpoints, Service } from './endpoints';
import { refuse } from './limits';
import { paths, Subnets } from './subnets';

/** What the network is made of. */
export interface NetworkProps {
  readonly vpc: ec2.IVpc;
  readonly vpcSubnets?: ec2.SubnetSelection;
  readonly database: UserSyncDatabase;
  readonly endpoints?: EndpointOptions;
}

/** The security group of whatever connects to the database, but for the console, and the endpoints that are asked for. */
export class Network extends Construct {
  public readonly vpc: ec2.IVpc;
  public readonly vpcSubnets?: ec2.SubnetSelection;
  public readonly securityGroup: ec2.SecurityGroup;

  /** What must be there before anybody connects. */
  public readonly ways: IConstruct[];

  private readonly subnets: Subnets;
  private readonly endpoints: EndpointOptions;
  private readonly made?: Endpoints;
  private readonly database: UserSyncDatabase;
  private readonly warned = new Set<Service>();

  constructor(scope: Construct, id: string, { vpc, vpcSubnets, database, endpoints }: NetworkProps) {
    super(scope, id);
    this.vpc = vpc;
    this.vpcSubnets = vpcSubnets;
    this.subnets = new Subnets(vpc, vpcSubnets);
    this.endpoints = endpoints ?? {};
    this.database = database;
    const description = 'Connects to the database and to AWS, and is connected to by nobody';
    this.securityGroup = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc,
      description,
      allowAllOutbound: false,
    });
    letOut(this.securityGroup, database, database.owner);
    this.ways = [this.securityGroup];
    if (endpoints) {
      const { securityGroup } = this;
      this.made = new Endpoints(this, 'Endpoints', { vpc, vpcSubnets, securityGroup, options: endpoints });
      this.ways.push(this.made);
    }
  }

  /**
   * Lets another group out, as ours is: to AWS, by endpoints too, and to the database; and to others that are named. The
   * answer is what must be there before anybody connects.
   */
  public letOut(group: ec2.SecurityGroup, ...others: UserSyncDatabase[]): IConstruct[] {
    const databases = [this.database, ...others];
    letOut(group, ...databases);
    this.made?.letIn(group);
    return [group, ...databases.flatMap(({ connections }) => connections?.securityGroups ?? [])];
  }

  /** Whether functions are permitted in public subnets: what they need there is checked by `functionsNeed`. */
  public get allowPublicSubnet(): boolean {
    return this.subnets.public.length > 0;
  }

  /** Whether what stands there, with a public address or without, has no way to services that have no endpoint here. */
  public isClosed(hasPublicIp = false): boolean {
    return this.subnets.isClosed(hasPublicIp);
  }

  /** Refuses functions that could not reach a service, or warns where nobody knows. */
  public functionsNeed(...services: Service[]): void {
    const missing = this.missing(services);
    if (missing.length === 0) return;
    if (this.subnets.public.length > 0) {
      refuse(
        'vpcSubnets',
        `public: ${paths(this.subnets.public)}`,
        'private subnets with a NAT gateway, since a Lambda function in a public one has no public address and reaches ' +
          `nothing through the internet gateway; or give endpoints: ${asProp(missing, this.vpc)}`,
      );
    }
    this.warn(missing, 'functions');
  }

  /** Refuses tasks that could not reach a service, or warns where nobody knows. */
  public tasksNeed(prop: string, assignPublicIp: boolean, ...services: Service[]): void {
    if (assignPublicIp && this.subnets.takesNoPublicIp)
      refuse(
        prop,
        assignPublicIp,
        'left out, since none of vpcSubnets is public: an address is of no use there',
      );
    const missing = this.missing(services);
    if (missing.length === 0) return;
    if (this.subnets.public.length > 0 && !assignPublicIp)
      refuse(
        prop,
        assignPublicIp,
        `true in public subnets (${paths(this.subnets.public)}), where a task has no other way to AWS; or give ` +
          `endpoints: ${asProp(missing, this.vpc)}, or private subnets with a NAT gateway as vpcSubnets`,
      );
    this.warn(missing, 'tasks');
  }

  private missing(services: Service[]): Service[] {
    return services.filter((service) => !this.endpoints[service]);
  }

  private warn(missing: Service[], who: string): void {
    if (this.subnets.isolated.length === 0) return;
    for (const service of missing.filter((each) => !this.warned.has(each))) {
      this.warned.add(service);
      Annotations.of(this).addWarningV2(
        `cognito-user-sync:endpoint-${service}`,
        `endpoints has no ${service}, which ${who} in vpcSubnets need (${paths(this.subnets.isolated)} have no way out): ` +
          `give endpoints: ${asProp([service], this.vpc)}, or let \`connections\` into the endpoint that is there`,
      );
    }
  }
}

/** Lets a security group out to AWS and to databases. */
function letOut(group: ec2.SecurityGroup, ...databases: UserSyncDatabase[]): void {
  group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.HTTPS, 'HTTPS, to AWS');
  for (const each of new Set(databases)) open(group, each);
}

/** Lets a security group out to a database, and in where the database's group is known and ours to change. */
function open(group: ec2.SecurityGroup, { connections, port }: UserSyncDatabase): void {
  if (!connections) {
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(port), 'PostgreSQL');
    return;
  }
  group.connections.allowTo(connections, ec2.Port.tcp(port), 'PostgreSQL, for user-sync');
  for (const theirs of connections.securityGroups) {
    if (isOpened(theirs, group)) continue;
    throw new Error(
      `CognitoUserSync: database has the security group ${theirs.node.path} (${theirs.securityGroupId}), imported with ` +
        'mutable: false, so nothing can be opened in it: import it without mutable, or leave the group out of the ' +
        `database and let \`connections\` in at port ${port} yourself`,
    );
  }
}

/** Whether a rule lets one group into another; an import that may not be changed ignores what it is told. */
function isOpened(theirs: ec2.ISecurityGroup, ours: ec2.ISecurityGroup): boolean {
  return [theirs, ours].some(({ node }) =>
    node.children.some((child) => {
      if (!(child instanceof ec2.CfnSecurityGroupIngress)) return false;
      const resolved = (text?: string) => JSON.stringify(Stack.of(child).resolve(text));
      return resolved(child.groupId) === resolved(theirs.securityGroupId);
    }),
  );
}

/** Where in the VPC programs stand, and how they get out of it. */
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { Construct, IConstruct } from 'constructs';
import { UserSyncDatabase } from './database';
import { EndpointOptions, Endpoints } from './endpoints';

/** What the network is made of. */
export interface NetworkProps {
  readonly vpc: ec2.IVpc;
  readonly vpcSubnets?: ec2.SubnetSelection;
  readonly database: UserSyncDatabase;
  readonly endpoints?: EndpointOptions;
}

/** The one security group of whatever connects to the database, and the endpoints that are asked for. */
export class Network extends Construct {
  public readonly vpc: ec2.IVpc;
  public readonly vpcSubnets?: ec2.SubnetSelection;
  public readonly securityGroup: ec2.SecurityGroup;

  /** What must be there before anybody connects. */
  public readonly ways: IConstruct[];

  constructor(scope: Construct, id: string, { vpc, vpcSubnets, database, endpoints }: NetworkProps) {
    super(scope, id);
    this.vpc = vpc;
    this.vpcSubnets = vpcSubnets;
    this.securityGroup = this.group(database);
    this.ways = [this.securityGroup];
    if (endpoints) this.ways.push(new Endpoints(this, 'Endpoints', { vpc, vpcSubnets, options: endpoints }));
  }

  private group(database: UserSyncDatabase): ec2.SecurityGroup {
    const { vpc } = this;
    const description = 'Connects to the database and to AWS, and is connected to by nobody';
    const group = new ec2.SecurityGroup(this, 'SecurityGroup', { vpc, description, allowAllOutbound: false });
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.HTTPS, 'HTTPS, to AWS');
    for (const { connections, port } of new Set([database, database.owner])) {
      if (connections)
        group.connections.allowTo(connections, ec2.Port.tcp(port), 'PostgreSQL, for user-sync');
      else group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(port), 'PostgreSQL');
    }
    return group;
  }
}

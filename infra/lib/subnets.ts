/** Which way out subnets have; must know nothing of what stands there. */
import * as ec2 from 'aws-cdk-lib/aws-ec2';

/** The subnets that are selected, by the way out that they have, as far as the VPC's construct says it. */
export class Subnets {
  /** Those behind an internet gateway, through which goes only what has a public address. */
  public readonly public: ec2.ISubnet[];

  /** Those without a way out. */
  public readonly isolated: ec2.ISubnet[];

  /** Whether a public address would be of use to nothing there, as far as all of them are known. */
  public readonly takesNoPublicIp: boolean;

  constructor(vpc: ec2.IVpc, selection?: ec2.SubnetSelection) {
    const { subnets, isPendingLookup } = vpc.selectSubnets(selection);
    // Until the CLI has looked the VPC up, others stand in for its subnets, which say nothing of them.
    const among = (kind: ec2.ISubnet[]) => (isPendingLookup ? [] : intersection(subnets, kind));
    this.public = among(vpc.publicSubnets);
    this.isolated = among(vpc.isolatedSubnets);
    const withoutPublic = this.isolated.length + among(vpc.privateSubnets).length;
    this.takesNoPublicIp = !isPendingLookup && withoutPublic === subnets.length;
  }

  /** Whether something that stands there, with a public address or without, does not get out. */
  public isClosed(hasPublicIp: boolean): boolean {
    return this.isolated.length > 0 || (this.public.length > 0 && !hasPublicIp);
  }
}

/** Their paths, as an error names them. */
export function paths(subnets: ec2.ISubnet[]): string {
  return subnets.map(({ node }) => node.path).join(', ');
}

/** By the id: a subnet may be imported once more. */
function intersection(some: ec2.ISubnet[], others: ec2.ISubnet[]): ec2.ISubnet[] {
  const ids = new Set(others.map(({ subnetId }) => subnetId));
  return some.filter(({ subnetId }) => ids.has(subnetId));
}

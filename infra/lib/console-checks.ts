/** What a console must be, beside the rest of a deployment. */
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import type { FargateConsoleOptions } from './console';
import { ConsoleRight } from './console-rights';
import { refuse } from './limits';
import { Network } from './network';
import type { Parts } from './parts';
import { paths, Subnets } from './subnets';

/** Fails where nobody could enter, or where what is allowed could not be done. */
export function checkConsole(parts: Parts, network: Network, options: FargateConsoleOptions): void {
  const { allow = [], replica, vpcSubnets } = options;
  if (vpcSubnets) checkSubnets('console.vpcSubnets', network.vpc, vpcSubnets);
  else checkSubnets('vpcSubnets', network.vpc, network.vpcSubnets);
  if (allow.includes(ConsoleRight.ACT) && !parts.commandTask)
    refuse(
      'console.allow',
      allow,
      'without ConsoleRight.ACT, or commandTask: {} given: what people start in the console runs in such a task',
    );
  if (replica && replica.resourceId === undefined && !parts.logins.consoleSecret)
    refuse(
      'console.replica',
      replica.host,
      'given with its resourceId, by which IAM authentication is granted; or give auth: DatabaseAuth.secret()',
    );
}

/**
 * An internal load balancer and its task have no public address, so that only a NAT gateway leads out: "Configure user
 * authentication using an Application Load Balancer", AWS re:Post Knowledge Center.
 */
function checkSubnets(prop: string, vpc: ec2.IVpc, selection?: ec2.SubnetSelection): void {
  const known = new Subnets(vpc, selection);
  const expected =
    "private subnets with a NAT gateway, for the console: no VPC endpoint leads to the host of the load balancer's keys, nor " +
    'to the provider that signs people in, and an internal load balancer has no public address; give others by ' +
    'console: UserSyncConsole.fargate({ vpcSubnets }), or leave console out';
  if (known.isolated.length > 0) refuse(prop, `isolated: ${paths(known.isolated)}`, expected);
  if (known.public.length > 0) refuse(prop, `public: ${paths(known.public)}`, expected);
  const { availabilityZones, isPendingLookup } = vpc.selectSubnets(selection);
  if (!isPendingLookup && new Set(availabilityZones).size < 2)
    refuse(
      prop,
      `in ${availabilityZones.join(', ')}`,
      'in two zones at least, for the load balancer of the console',
    );
}

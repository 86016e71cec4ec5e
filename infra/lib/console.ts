/** The console: pages that say whether every sign-in is in the database, and why a user looks so. */
import { Duration, Token } from 'aws-cdk-lib';
import * as acm from 'aws-cdk-lib/aws-certificatemanager';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import { Construct } from 'constructs';
import { ConsoleRight } from './console-rights';
import { Console, ConsoleProps } from './console-service';
import { ConsoleSignIn } from './console-sign-in';
import { fargateSize, SMALLEST } from './fargate-sizes';
import { refuse, seconds } from './limits';

/** Whose values of a claim give which rights: compared exactly. Nobody may more than `allow` says. */
export interface ConsoleRoles {
  /**
   * The claim of the provider's user info whose values give rights: a list, or a text that commas or blanks divide. A user
   * pool's has no `cognito:groups`: give it an attribute that no app client may write.
   *
   * @default - `groups`; with a user pool `custom:console`
   */
  readonly claim?: string;

  /**
   * Who may read.
   *
   * @default - nobody who has none of the values below
   */
  readonly read?: string[];

  /**
   * Who may read, and reveal if `allow` has it.
   *
   * @default - nobody
   */
  readonly reveal?: string[];

  /**
   * Who may read, and act if `allow` has it.
   *
   * @default - nobody
   */
  readonly act?: string[];
}

/** A replica of the database, as of Aurora's reader endpoint. */
export interface ConsoleReplica {
  /** Its host name, as its certificate has it. */
  readonly host: string;

  /**
   * Its port.
   *
   * @default 5432
   */
  readonly port?: number;

  /**
   * Its security group, which is opened to the console.
   *
   * @default - none: its rules are yours
   */
  readonly securityGroup?: ec2.ISecurityGroup;

  /**
   * Its resource id (`db-…`, or its cluster's `cluster-…`), which IAM authentication is granted by.
   *
   * @default - none: IAM authentication cannot be used
   */
  readonly resourceId?: string;
}

/** The console on AWS Fargate. */
export interface FargateConsoleOptions {
  /** The name that browsers ask for, such as `console.example.com`: let it lead to `consoleLoadBalancer`. */
  readonly hostName: string;

  /** The certificate of that name. */
  readonly certificate: acm.ICertificate;

  /** Who signs people in, before a request reaches the console. */
  readonly signIn: ConsoleSignIn;

  /** Who may do what. */
  readonly roles: ConsoleRoles;

  /** From where the load balancer can be reached: blocks of addresses, prefix lists, security groups. */
  readonly peers: ec2.IPeer[];

  /**
   * The claim by which people are named, in the pages and in what is written down of them.
   *
   * @default 'email'
   */
  readonly nameClaim?: string;

  /**
   * What anybody may at most besides reading.
   *
   * @default - nothing: it is read only
   */
  readonly allow?: ConsoleRight[];

  /**
   * How long somebody is signed in. A right that is taken back at the provider ends then at the latest.
   *
   * @default Duration.hours(8)
   */
  readonly sessionTimeout?: Duration;

  /**
   * What the deployment is called, at the top of each page.
   *
   * @default - the stack and the Region
   */
  readonly environment?: string;

  /**
   * The subnets of the load balancer and of the task: private ones with a NAT gateway, in two zones at least. The host of the
   * load balancer's keys and the provider have no VPC endpoint.
   *
   * @default - those of the sync
   */
  readonly vpcSubnets?: ec2.SubnetSelection;

  /**
   * A replica to read from. What the console writes down goes to the database itself.
   *
   * @default - the database itself
   */
  readonly replica?: ConsoleReplica;

  /**
   * The cluster to run in.
   *
   * @default - the one of `commandTask`, the worker's, or one of its own
   */
  readonly cluster?: ecs.ICluster;

  /**
   * CPU units of the task: 256, 512, 1024, 2048, 4096, 8192 or 16384.
   *
   * @default 256
   */
  readonly cpu?: number;

  /**
   * Memory of the task in MiB: what Fargate offers with `cpu`.
   *
   * @default 512
   */
  readonly memoryLimitMiB?: number;

  /**
   * The image, as that of the worker.
   *
   * @default - that of `UserSyncCompute.fargate({ image })`, else built by Docker from what `make lambda` left in `code`
   */
  readonly image?: ecs.ContainerImage;
}

/** Where the console runs. */
export abstract class UserSyncConsole {
  /** As one task of AWS Fargate behind an internal load balancer that signs people in. */
  public static fargate(options: FargateConsoleOptions): UserSyncConsole {
    return new FargateConsole(options);
  }

  /**
   * Makes the console.
   *
   * @internal
   */
  public abstract _bind(scope: Construct, props: ConsoleProps): Console;
}

class FargateConsole extends UserSyncConsole {
  constructor(private readonly options: FargateConsoleOptions) {
    super();
    const { hostName, peers, cpu = SMALLEST.cpu, memoryLimitMiB = SMALLEST.memoryLimitMiB } = options;
    fargateSize('console.', cpu, memoryLimitMiB);
    if (!Token.isUnresolved(hostName) && !/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(hostName))
      refuse('console.hostName', hostName, "a host's name alone, in lower case, such as console.example.com");
    if (peers.length === 0)
      refuse(
        'console.peers',
        [],
        'one peer at least, such as ec2.Peer.ipv4(…): nobody could open the console',
      );
    // "AuthenticateOidcConfig", Elastic Load Balancing API Reference.
    if (options.sessionTimeout) seconds('console.sessionTimeout', options.sessionTimeout, 1, 604_800);
    checkRoles(options.roles);
  }

  /** @internal */
  public _bind(scope: Construct, props: ConsoleProps): Console {
    return new Console(scope, 'Console', props, this.options);
  }
}

function checkRoles({ claim, read = [], reveal = [], act = [] }: ConsoleRoles): void {
  const values = [...read, ...reveal, ...act];
  if (values.length === 0)
    refuse('console.roles', { claim }, 'given with the values that may read: nobody could enter the console');
  const divided = values.find((value) => !Token.isUnresolved(value) && !/^[^\s,]+$/.test(value));
  if (divided !== undefined)
    refuse('console.roles', divided, 'of values without commas and blanks, which divide them');
  if (claim === 'cognito:groups')
    refuse(
      'console.roles.claim',
      claim,
      "a claim of the provider's user info, which a load balancer asks for, and which has no groups of a user pool: an " +
        'attribute such as custom:console, that no app client may write',
    );
}

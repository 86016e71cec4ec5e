/** What AWS says of where logins came from: which sources are asked for. */
import { Duration, Token } from 'aws-cdk-lib';
import * as logs from 'aws-cdk-lib/aws-logs';
import { refuse } from './limits';

/** CloudTrail as a source. */
export interface CloudTrailContextOptions {
  /**
   * The ids of the clients that people's own devices use, such as `[app.userPoolClientId]`. Of any other client the address
   * is a backend's: such a record is a witness for the audit, and no user's address.
   *
   * @default - the pool's clients without a secret. To know them, the function may read the settings of all clients,
   * which include their secrets: name them, and it may not
   */
  readonly clients?: string[];
}

/** Threat protection as a source. */
export interface ThreatProtectionContextOptions {
  /**
   * The log group that Cognito delivers `userAuthEvents` to, of this account and Region. The pool's log delivery is yours
   * to set. CloudWatch Logs takes two subscriptions of a group, and this is one.
   */
  readonly logGroup: logs.ILogGroup;

  /**
   * As `clients` of CloudTrail, and one list for both: of a call without context data the address is that of whoever called
   * Cognito.
   *
   * @default - those of CloudTrail, else the pool's clients without a secret
   */
  readonly clients?: string[];
}

/** A source that says where logins came from, beside the login itself. */
export class LoginContext {
  /**
   * CloudTrail's records of sign-ins, which EventBridge hands over minutes later. They have the address and the user agent
   * of whoever called Cognito. Needs a trail of management events.
   */
  public static cloudTrail(options: CloudTrailContextOptions = {}): LoginContext {
    return new LoginContext(
      { ...options, clients: options.clients && clientIds(options.clients) },
      undefined,
    );
  }

  /**
   * Threat protection's `userAuthEvents`, which have the address, the device, the city, the country and the risk, also of
   * attempts that failed. Needs the Plus plan; audit-only is enough.
   */
  public static threatProtection(options: ThreatProtectionContextOptions): LoginContext {
    return new LoginContext(undefined, {
      ...options,
      clients: options.clients && clientIds(options.clients),
    });
  }

  /**
   * @param cloudTrailOptions How CloudTrail is read, if it is.
   * @param threatProtectionOptions How threat protection is read, if it is.
   */
  private constructor(
    public readonly cloudTrailOptions?: CloudTrailContextOptions,
    public readonly threatProtectionOptions?: ThreatProtectionContextOptions,
  ) {}
}

/** What is to be known of logins beside that they happened. */
export interface LoginContextProps {
  /**
   * What else says where logins came from: the addresses, devices and places that no trigger has, and the sign-ins that
   * failed. With a source, an audit compares the logins with what AWS recorded, every hour. Each source costs, needs and
   * misses something: docs/deploying.md, "What login contexts cost".
   *
   * @default - none: only what clients send as ClientMetadata
   */
  readonly loginContext?: LoginContext[];

  /**
   * Whether there is a queue of contexts without any source in `loginContext`, for a backend that knows where its users
   * are and says so: see `grantSendContext`.
   *
   * @default - as `loginContext` needs it
   */
  readonly contextQueue?: boolean;

  /**
   * How long contexts of logins and failed sign-ins stay in the ledger one by one, 31 to 3,650 days. Of older contexts the
   * latest of each user stay; older failures are dropped.
   *
   * @default Duration.days(400)
   */
  readonly recordRetention?: Duration;
}

/** What is read, by its source. */
export interface Sources {
  readonly cloudTrail?: CloudTrailContextOptions;
  readonly threatProtection?: ThreatProtectionContextOptions;
}

/** The sources that are asked for, each once; `undefined` where none is. */
export function sources(given: LoginContext[] = []): Sources | undefined {
  const [cloudTrail, ...trails] = given.flatMap(({ cloudTrailOptions }) => cloudTrailOptions ?? []);
  const [threatProtection, ...groups] = given.flatMap((context) => context.threatProtectionOptions ?? []);
  if (trails.length > 0)
    refuse(
      'loginContext',
      'CloudTrail twice',
      'each source once: name all clients in one LoginContext.cloudTrail',
    );
  if (groups.length > 0)
    refuse(
      'loginContext',
      'threat protection twice',
      'each source once: a pool delivers its logs to one log group',
    );
  return given.length > 0 ? { cloudTrail, threatProtection } : undefined;
}

/** The clients of people's own devices, if they are named: the function has one list for both sources. */
export function namedClients({ cloudTrail, threatProtection }: Sources): string[] | undefined {
  const named = [cloudTrail?.clients, threatProtection?.clients].filter((clients) => clients !== undefined);
  return named.length > 0 ? [...new Set(named.flat())] : undefined;
}

/** Ids as `USER_SYNC_CONTEXT_CLIENTS` takes them ("ClientId", Amazon Cognito API Reference). */
function clientIds(given: string[]): string[] {
  if (given.length === 0)
    refuse('clients', given, 'one client id at least, or left out for the clients without a secret');
  for (const id of given)
    if (!Token.isUnresolved(id) && !/^[\w+]{1,128}$/.test(id)) refuse('clients', id, 'ids of clients');
  return given;
}

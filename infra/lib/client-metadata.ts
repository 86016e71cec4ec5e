/** Under which names clients say where they are, and what of it the trigger is told. */
import { refuse } from './limits';

/** The names under which your clients send ClientMetadata. */
export interface ClientMetadataKeys {
  /**
   * The key with the client's IP address.
   *
   * @default 'ip'
   */
  readonly ip?: string;

  /**
   * The key with the client's user agent.
   *
   * @default 'user_agent'
   */
  readonly userAgent?: string;

  /**
   * The key with `Mobile`, `Tablet` or `Desktop`.
   *
   * @default 'device'
   */
  readonly device?: string;

  /**
   * The key with the client's place.
   *
   * @default 'location'
   */
  readonly location?: string;

  /**
   * The key with the code of whoever referred the user.
   *
   * @default 'referral_code'
   */
  readonly referralCode?: string;
}

/** `USER_SYNC_CLIENT_METADATA_KEYS`: the keys that differ from the documented ones. */
export function clientMetadata(keys: ClientMetadataKeys = {}): string | undefined {
  const named: [string, string | undefined][] = [
    ['ip', keys.ip],
    ['user_agent', keys.userAgent],
    ['device', keys.device],
    ['location', keys.location],
    ['referral_code', keys.referralCode],
  ];
  const given = named.flatMap(([meaning, key]) => {
    if (key === undefined) return [];
    if (!/^[^,=\s]+$/.test(key))
      refuse('clientMetadataKeys', key, 'names without commas, equals signs and blanks');
    return [`${meaning}=${key}`];
  });
  return given.length > 0 ? given.join(',') : undefined;
}

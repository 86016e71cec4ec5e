/** From where on alarms ring, each with its default and its limits. */
import { Duration } from 'aws-cdk-lib';
import { refuse, wholeNumber } from '../limits';
import { Watched } from './watched';

/** From where on each alarm rings. What is left out has its default, which docs/runbook.md explains. */
export interface AlarmThresholds {
  /**
   * `HeartbeatMissing` rings when nothing has come through for so many intervals of `heartbeatInterval`: 2 to 24.
   *
   * @default 3
   */
  readonly heartbeatIntervals?: number;

  /**
   * `Undelivered` rings above so many events in 5 minutes that are in the trigger's log only.
   *
   * @default 0
   */
  readonly undelivered?: number;

  /**
   * `DeadLetters` rings above so many messages in the dead-letter queue.
   *
   * @default 0
   */
  readonly deadLetters?: number;

  /**
   * `OldestMessage` rings when an event has waited in the queue for longer: whole seconds from 1 minute to 14 days.
   *
   * @default Duration.minutes(15)
   */
  readonly oldestMessage?: Duration;

  /**
   * `Freshness` rings when one event in a hundred takes longer to its row: whole seconds from 1 second to 14 days.
   *
   * @default Duration.minutes(5)
   */
  readonly freshness?: Duration;

  /**
   * `TriggerErrors` rings above so many failures of the trigger function in 5 minutes: each is a sign-in that failed.
   *
   * @default 0
   */
  readonly triggerErrors?: number;

  /**
   * `TriggerThrottles` rings above so many calls of the trigger function in 5 minutes that Lambda refused.
   *
   * @default 0
   */
  readonly triggerThrottles?: number;

  /**
   * `TriggerDuration` rings when one call of the trigger function in a hundred takes longer, in 5 minutes: 100 ms to
   * 5 s, after which Cognito tries again.
   *
   * @default - 2.5 s; 4 s with a chain, whose function is waited for
   */
  readonly triggerDuration?: Duration;

  /**
   * `ChainFailed` rings above so many calls of the pool's former trigger in 5 minutes that failed.
   *
   * @default 0
   */
  readonly chainFailed?: number;

  /**
   * `LifecycleFailures` rings above so many changes and heartbeats that were given up.
   *
   * @default 0
   */
  readonly lifecycleFailures?: number;

  /**
   * `ConsumerErrors` rings above so many batches in 5 minutes that fail as a whole.
   *
   * @default 0
   */
  readonly consumerErrors?: number;

  /**
   * `LedgerHorizon` rings when the ledger has months for fewer days ahead: whole days from 1 to 60.
   *
   * @default Duration.days(35)
   */
  readonly ledgerAhead?: Duration;

  /**
   * `Drift` rings above so many users, rows and memberships that differ between the pool and the tables.
   *
   * @default 0
   */
  readonly drift?: number;

  /**
   * `ContextDeadLetters` rings above so many messages in the dead-letter queue of contexts.
   *
   * @default 0
   */
  readonly contextDeadLetters?: number;

  /**
   * `OldestContext` rings when a context, or a record of one, has waited for longer: whole seconds from 1 minute to 14
   * days. What waits behind an attack is no reason to wake anybody: sign-ins have a queue of their own.
   *
   * @default Duration.hours(1)
   */
  readonly oldestContext?: Duration;

  /**
   * `SignInRecordFailures` rings above so many of AWS's records that were given up.
   *
   * @default 0
   */
  readonly signInRecordFailures?: number;

  /**
   * `LoginsUnaccounted` rings above so many sign-ins of a day that AWS recorded and the ledger lacks.
   *
   * @default 0
   */
  readonly loginsUnaccounted?: number;

  /**
   * `AuditFails` rings when the audit has failed for so many hours in a row: 1 to 24. One hour's is no loss, since the
   * next audits a day, too.
   *
   * @default 3
   */
  readonly auditHours?: number;
}

/** All thresholds in the units of their metrics. */
export type Limits = ReturnType<typeof limits>;

const MAX_COUNT = 1_000_000_000;
const MAX_AGE = 14 * 86_400;

/** The thresholds that are given, and the defaults of the others. Fails with the first that cannot be. */
export function limits(given: AlarmThresholds = {}, isChained = false) {
  const count = (name: keyof AlarmThresholds & string, value: number | undefined) =>
    wholeNumber(prop(name), value ?? 0, 0, MAX_COUNT);
  return {
    heartbeatIntervals: wholeNumber(prop('heartbeatIntervals'), given.heartbeatIntervals ?? 3, 2, 24),
    undelivered: count('undelivered', given.undelivered),
    deadLetters: count('deadLetters', given.deadLetters),
    oldestMessageSeconds: age('oldestMessage', given.oldestMessage ?? Duration.minutes(15), 60),
    freshnessSeconds: age('freshness', given.freshness ?? Duration.minutes(5), 1),
    triggerErrors: count('triggerErrors', given.triggerErrors),
    triggerThrottles: count('triggerThrottles', given.triggerThrottles),
    triggerMilliseconds: milliseconds(given.triggerDuration, isChained),
    chainFailed: count('chainFailed', given.chainFailed),
    lifecycleFailures: count('lifecycleFailures', given.lifecycleFailures),
    consumerErrors: count('consumerErrors', given.consumerErrors),
    ledgerDays: days(given.ledgerAhead ?? Duration.days(35)),
    drift: count('drift', given.drift),
    contextDeadLetters: count('contextDeadLetters', given.contextDeadLetters),
    oldestContextSeconds: age('oldestContext', given.oldestContext ?? Duration.hours(1), 60),
    signInRecordFailures: count('signInRecordFailures', given.signInRecordFailures),
    loginsUnaccounted: count('loginsUnaccounted', given.loginsUnaccounted),
    auditHours: wholeNumber(prop('auditHours'), given.auditHours ?? 3, 1, 24),
  };
}

/** Fails with the first threshold whose alarm there is not, since what it watches was not made. */
export function checkWatched(given: AlarmThresholds = {}, watched: Watched): void {
  const { contexts } = watched;
  const NEEDS: Partial<Record<keyof AlarmThresholds, [unknown, string]>> = {
    chainFailed: [watched.isChained, 'no function is chained'],
    consumerErrors: [watched.consumerFunction, 'the consumer is no function'],
    ledgerAhead: [watched.migrator, 'migrations is Migrations.SKIP'],
    drift: [watched.driftFunction, 'driftCheck is DriftCheck.none()'],
    contextDeadLetters: [contexts, 'there is no queue of contexts'],
    oldestContext: [contexts, 'there is no queue of contexts'],
    signInRecordFailures: [contexts?.records, 'loginContext has no source'],
    loginsUnaccounted: [contexts?.auditFunction, 'loginContext has no source'],
    auditHours: [contexts?.auditFunction, 'loginContext has no source'],
  };
  for (const [name, [isThere, why]] of Object.entries(NEEDS) as [
    keyof AlarmThresholds,
    [unknown, string],
  ][]) {
    const value = given[name];
    if (value === undefined || isThere) continue;
    refuse(prop(name), String(value), `left out, since ${why}: there is no such alarm`);
  }
}

const prop = (name: keyof AlarmThresholds & string): string => `alarmThresholds.${name}`;

function age(name: keyof AlarmThresholds & string, given: Duration, min: number): number {
  const value = given.toSeconds({ integral: false });
  return wholeNumber(`${prop(name)} in seconds`, value, min, MAX_AGE);
}

function milliseconds(given: Duration | undefined, isChained: boolean): number {
  // Who was the trigger before is waited for, up to 4.4 s.
  const value = given?.toMilliseconds() ?? (isChained ? 4_000 : 2_500);
  return wholeNumber(`${prop('triggerDuration')} in milliseconds`, value, 100, 5_000);
}

function days(given: Duration): number {
  return wholeNumber(`${prop('ledgerAhead')} in days`, given.toDays({ integral: false }), 1, 60);
}

/** The interval of heartbeats in minutes: EventBridge's schedules have whole ones. */
export function heartbeatMinutes(given: Duration): number {
  const minutes = given.toMinutes({ integral: false });
  if (Number.isInteger(minutes) && minutes >= 1 && minutes <= 60) return minutes;
  return refuse(
    'heartbeatInterval',
    `${given.toSeconds({ integral: false })} s`,
    'whole minutes from 1 to 60',
  );
}

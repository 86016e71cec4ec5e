/** The alarms of contexts, failed sign-ins and the audit. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { MakeAlarm, spoken } from './alarm';
import { metricOf, ofAny, oldest, waiting } from './metric';
import { Limits } from './thresholds';
import { WatchedContexts } from './watched';

const { NOT_BREACHING } = cloudwatch.TreatMissingData;
const HOUR = { period: Duration.hours(1) };

/** The age of what waits longest: for a row, or to be read. */
function oldestContext({ queue, records }: WatchedContexts): cloudwatch.IMetric {
  if (!records?.raw) return oldest(queue);
  return ofAny('MAX', { contexts: oldest(queue), raw: oldest(records.raw.queue) }, Duration.minutes(5));
}

/** Makes an alarm for each way in which records could be lost or say that logins were. */
export function contextAlarms(make: MakeAlarm, watched: WatchedContexts, limits: Limits): cloudwatch.Alarm[] {
  const { deadLetterQueue, records, auditFunction } = watched;
  const made = [
    make('ContextDeadLetters', {
      metric: waiting(deadLetterQueue),
      threshold: limits.contextDeadLetters,
      missing: NOT_BREACHING,
      says: 'Contexts or failed sign-ins could not be applied, and wait in their own dead-letter queue for 14 days.',
      section: 'Context dead letters > 0',
    }),
    make('OldestContext', {
      metric: oldestContext(watched),
      threshold: limits.oldestContextSeconds,
      missing: NOT_BREACHING,
      says: `Contexts wait for more than ${spoken(limits.oldestContextSeconds)}: rows lack the place of their latest login. Logins are counted.`,
      section: 'Age of the oldest context',
    }),
  ];
  if (records) {
    const queues = { failures: records.failures, ...(records.raw && { raw: records.raw.deadLetterQueue }) };
    const each = Object.entries(queues).map(([id, of]) => [id, waiting(of)]);
    made.push(
      make('SignInRecordFailures', {
        metric: ofAny('SUM', Object.fromEntries(each), Duration.minutes(1)),
        threshold: limits.signInRecordFailures,
        missing: NOT_BREACHING,
        says: "AWS's records of sign-ins could not be read after every retry, and are kept for 14 days.",
        section: 'Sign-in records not read',
      }),
    );
  }
  if (auditFunction) {
    made.push(
      make('LoginsUnaccounted', {
        metric: unaccounted(auditFunction, { ...HOUR, statistic: 'Maximum' }),
        threshold: limits.loginsUnaccounted,
        missing: NOT_BREACHING,
        says: 'AWS or the application recorded sign-ins that are not in the ledger. `user-sync audit --list` names them.',
        section: 'Logins unaccounted for',
      }),
      make('AuditFails', {
        metric: auditFunction.metricErrors(HOUR),
        threshold: 0,
        periods: limits.auditHours,
        missing: NOT_BREACHING,
        says: `The audit of the logins has failed for ${spoken(limits.auditHours * 3_600)}.`,
        section: 'Logins unaccounted for',
      }),
    );
  }
  return made;
}

/** Sign-ins of a day that AWS recorded and the ledger lacks. */
export function unaccounted(audit: lambda.Function, options: cloudwatch.MetricOptions): cloudwatch.Metric {
  return metricOf(audit.functionName, 'logins_unaccounted', options);
}

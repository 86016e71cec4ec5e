/** The alarms of the way from the queue to the row. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { MakeAlarm, spoken } from './alarm';
import { Metrics } from './metrics';
import { Limits } from './thresholds';
import { Watched } from './watched';

const { BREACHING, NOT_BREACHING } = cloudwatch.TreatMissingData;
const BEHIND = 'Age of the oldest message, freshness p99';

/** Makes an alarm for each way in which events could not become rows. */
export function rowAlarms(
  make: MakeAlarm,
  watched: Watched,
  metrics: Metrics,
  limits: Limits,
  heartbeat: number,
): cloudwatch.Alarm[] {
  const silence = Duration.minutes(limits.heartbeatIntervals * heartbeat);
  const made = [
    make('HeartbeatMissing', {
      metric: metrics.consumer('heartbeats', { period: silence }),
      threshold: 1,
      below: true,
      missing: BREACHING,
      says: `No heartbeat has come through for ${spoken(silence.toSeconds())}: users are not synced. Sign-ins go on.`,
      section: 'Heartbeat age',
    }),
    make('DeadLetters', {
      metric: metrics.deadLetters(),
      threshold: limits.deadLetters,
      missing: NOT_BREACHING,
      says: 'Messages could not be applied, and wait in the dead-letter queue for 14 days.',
      section: 'Dead letters > 0',
    }),
    make('DatabaseMisconfigured', {
      metric: metrics.retried('database_misconfigured', { period: Duration.minutes(1) }),
      threshold: 0,
      // One is enough, since it never passes by itself. A message comes back after 15 minutes at most: fewer periods
      // would call it over between two attempts.
      periods: 20,
      datapoints: 1,
      missing: NOT_BREACHING,
      says:
        'The database refuses rows: a migration or a grant is missing, or somebody changed what the tables take. ' +
        'The messages are retried and nothing is lost, but users are not synced. `user-sync doctor` names what refuses the rows.',
      section: 'Database misconfigured',
    }),
    make('OldestMessage', {
      metric: metrics.oldestMessage(),
      threshold: limits.oldestMessageSeconds,
      missing: NOT_BREACHING,
      says: `Events wait in the queue for more than ${spoken(limits.oldestMessageSeconds)}: the consumer or the database is behind.`,
      section: BEHIND,
    }),
    make('Freshness', {
      metric: metrics.freshness(),
      threshold: limits.freshnessSeconds,
      missing: NOT_BREACHING,
      says: `One event in a hundred takes more than ${spoken(limits.freshnessSeconds)} to its row.`,
      section: BEHIND,
    }),
  ];
  if (watched.consumerFunction) {
    made.push(
      make('ConsumerErrors', {
        metric: watched.consumerFunction.metricErrors(),
        threshold: limits.consumerErrors,
        missing: NOT_BREACHING,
        says: 'The consumer fails as a whole, and its batches return to the queue.',
        section: 'Consumer errors',
      }),
    );
  }
  return made;
}

/** The alarms of what runs beside sign-ins: changes of users, the ledger's months, the comparison with the pool. */
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { MakeAlarm, spoken } from './alarm';
import { waiting } from './metric';
import { Metrics } from './metrics';
import { Limits } from './thresholds';
import { Watched } from './watched';

const { BREACHING, NOT_BREACHING } = cloudwatch.TreatMissingData;
const DAY = 86_400;

/** Makes an alarm for each way in which rows could go wrong beside sign-ins. */
export function upkeepAlarms(
  make: MakeAlarm,
  watched: Watched,
  metrics: Metrics,
  limits: Limits,
): cloudwatch.Alarm[] {
  const made = [
    make('LifecycleFailures', {
      metric: waiting(watched.lifecycleFailures),
      threshold: limits.lifecycleFailures,
      missing: NOT_BREACHING,
      says: 'Changes or heartbeats were given up after every retry, and are kept in the queue of lifecycle failures. Reconcile brings the changes.',
      section: 'Lifecycle failures > 0',
    }),
  ];
  if (watched.migrator) {
    made.push(
      make('LedgerHorizon', {
        metric: metrics.ledgerDaysAhead(),
        threshold: limits.ledgerDays,
        below: true,
        periods: 2,
        missing: BREACHING,
        says: `The ledger has months for fewer than ${spoken(limits.ledgerDays * DAY)} ahead, or its daily maintenance has not run for two days.`,
        section: 'Ledger horizon near',
      }),
    );
  }
  return watched.driftFunction && watched.driftInterval
    ? [...made, ...driftAlarms(make, watched, metrics, limits, watched.driftInterval.toSeconds())]
    : made;
}

function driftAlarms(
  make: MakeAlarm,
  watched: Watched,
  metrics: Metrics,
  limits: Limits,
  interval: number,
): cloudwatch.Alarm[] {
  const which = watched.rowsFunction
    ? " The check's log says why; where it could not read the rows, the log of the function Rows."
    : " The check's log says why.";
  return [
    make('Drift', {
      metric: metrics.drift(),
      threshold: limits.drift,
      missing: NOT_BREACHING,
      says: 'Users differ between the pool and the table.',
      section: 'Drift',
    }),
    make('DriftCheckFails', {
      metric: metrics.driftFailures(),
      threshold: 0,
      missing: NOT_BREACHING,
      says: `The comparison of the pool with the table fails, and none has come to its end for a day.${which}`,
      section: 'Drift',
    }),
    make('DriftCheckMissing', {
      metric: metrics.drift({ statistic: 'SampleCount' }),
      threshold: 1,
      below: true,
      periods: Math.max(2, Math.ceil((2 * interval) / DAY)),
      missing: BREACHING,
      says: `No comparison of the pool with the table has come to its end in time.${which}`,
      section: 'Drift',
    }),
  ];
}

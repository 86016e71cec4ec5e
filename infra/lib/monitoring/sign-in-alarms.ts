/** The alarms of the way from a sign-in to the queue: the trigger function, and whether the pool calls it. */
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { MakeAlarm } from './alarm';
import { Metrics } from './metrics';
import { Limits } from './thresholds';
import { Watched } from './watched';

const { NOT_BREACHING } = cloudwatch.TreatMissingData;
const TRIGGER = 'Trigger errors, trigger duration';

/** How often the keeper looks at the triggers, whatever the interval of heartbeats is. */
const KEEPER_MINUTES = 5;

/** Makes an alarm for each way in which sign-ins could fail, or not be counted. */
export function signInAlarms(
  make: MakeAlarm,
  watched: Watched,
  metrics: Metrics,
  limits: Limits,
  heartbeat: number,
): cloudwatch.Alarm[] {
  const trigger = watched.triggerFunction;
  const made = [
    make('Undelivered', {
      metric: metrics.trigger('undelivered'),
      threshold: limits.undelivered,
      missing: NOT_BREACHING,
      says: "Events are only in the trigger's log: replay them before its retention is over.",
      section: 'Undelivered > 0',
    }),
    make('TriggerErrors', {
      metric: trigger.metricErrors(),
      threshold: limits.triggerErrors,
      missing: NOT_BREACHING,
      says: 'The trigger function fails: users cannot sign in.',
      section: TRIGGER,
    }),
    make('TriggerThrottles', {
      // Lambda does not count them as errors, and to Cognito they are.
      metric: trigger.metricThrottles(),
      threshold: limits.triggerThrottles,
      missing: NOT_BREACHING,
      says: "The trigger function is throttled, by the account's concurrency: users cannot sign in.",
      section: TRIGGER,
    }),
    make('TriggerDuration', {
      metric: trigger.metricDuration({ statistic: 'p99' }),
      threshold: limits.triggerMilliseconds,
      missing: NOT_BREACHING,
      says: 'The trigger function comes close to the 5 s after which Cognito tries again.',
      section: TRIGGER,
    }),
  ];
  if (watched.isAttached) {
    made.push(
      make('TriggersMissing', {
        metric: metrics.triggersMissing(),
        threshold: 0,
        ...looks(heartbeat),
        missing: NOT_BREACHING,
        says: 'The user pool does not call the trigger function, or did not for a while: sign-ins were not counted.',
        section: 'Triggers missing',
      }),
    );
  }
  if (watched.triggerKeeper) {
    made.push(
      make('TriggersNotPutBack', {
        metric: metrics.notPutBack(watched.triggerKeeper),
        threshold: 0,
        ...looks(KEEPER_MINUTES),
        missing: NOT_BREACHING,
        says:
          'Triggers of the user pool are missing and nobody puts them back: somebody holds them, they were put back too ' +
          "often, another function is there, or the parameter or the pool cannot be used. The keeper's log says which.",
        section: 'Triggers missing',
      }),
    );
  }
  if (watched.isChained) {
    made.push(
      make('ChainFailed', {
        metric: metrics.trigger('chain_failed'),
        threshold: limits.chainFailed,
        missing: NOT_BREACHING,
        says: "The pool's former trigger could not be called, and sign-ins went on without it, or it did not answer, and they failed.",
        section: 'chain_failed > 0',
      }),
    );
  }
  return made;
}

/**
 * One look in a minute is enough, since a deployment never takes the triggers away, and nobody looks before they are set.
 * Fewer periods than two looks and the time until CloudWatch has the second would call it over in between, or after one
 * look that failed.
 */
function looks(everyMinutes: number): { periods: number; datapoints: number } {
  return { periods: 2 * everyMinutes + 2, datapoints: 1 };
}

/** How often the pool is compared with the table. */
import { Duration } from 'aws-cdk-lib';
import { refuse, seconds } from './limits';

/** How often the whole pool is compared with the table. */
export class DriftCheck {
  /** Every day. */
  public static daily(): DriftCheck {
    return new DriftCheck(Duration.days(1));
  }

  /** At another interval, of whole minutes from 1 hour to 3 days. */
  public static every(interval: Duration): DriftCheck {
    seconds('driftCheck', interval, 3_600, 259_200);
    if (interval.toSeconds() % 60 !== 0) refuse('driftCheck', `${interval.toSeconds()} s`, 'whole minutes');
    return new DriftCheck(interval);
  }

  /** Never. A scheduled `user-sync reconcile` does the same. */
  public static none(): DriftCheck {
    return new DriftCheck(undefined);
  }

  /**
   * @param interval How often, if at all.
   */
  private constructor(public readonly interval?: Duration) {}
}

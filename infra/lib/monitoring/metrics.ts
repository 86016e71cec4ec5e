/** The metrics, by what they answer; knows no alarm and no graph. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { metricOf, ofAny, oldest, waiting } from './metric';
import { Watched } from './watched';

/** Why triggers that are missing are not put back, as the label of the metric has it. */
const NOT_PUT_BACK = ['held', 'limit', 'foreign', 'parameter', 'failed'];

/** The metrics, by what they answer. */
export class Metrics {
  constructor(private readonly watched: Watched) {}

  public trigger(name: string, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return metricOf(this.watched.triggerFunction.functionName, name, options);
  }

  public consumer(name: string, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return metricOf(this.watched.consumerService, name, options);
  }

  public lifecycle(name: string, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return metricOf(this.watched.lifecycleFunction.functionName, name, options);
  }

  /** Of the pool's two triggers those that do not call ours: the most that anybody who looked has seen in a minute. */
  public triggersMissing(): cloudwatch.IMetric {
    const most = { period: Duration.minutes(1), statistic: 'Maximum' };
    const looks: Record<string, cloudwatch.Metric> = { lifecycle: this.lifecycle('triggers_missing', most) };
    const { triggerKeeper } = this.watched;
    if (!triggerKeeper) return looks.lifecycle!;
    // The keeper may have put them back before the other looks.
    looks.keeper = metricOf(triggerKeeper.functionName, 'triggers_missing', most);
    return ofAny('MAX', looks, most.period);
  }

  /** How often the keeper saw triggers missing and did not put them back, or failed. */
  public notPutBack(keeper: lambda.Function): cloudwatch.IMetric {
    const sum = { period: Duration.minutes(1) };
    const counted = NOT_PUT_BACK.map((reason) => {
      const dimensionsMap = { service: keeper.functionName, reason };
      return [reason, metricOf(keeper.functionName, 'triggers_not_put_back', { dimensionsMap, ...sum })];
    });
    return ofAny('SUM', { ...Object.fromEntries(counted), errors: keeper.metricErrors(sum) }, sum.period);
  }

  public freshness(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return this.consumer('freshness', { statistic: 'p99', ...options });
  }

  /** Messages that were returned to the queue for one cause, as src/store/outcome.rs names it. */
  public retried(cause: string, options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    const dimensionsMap = { service: this.watched.consumerService, cause };
    return this.consumer('retried', { dimensionsMap, ...options });
  }

  public deadLetters(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return waiting(this.watched.deadLetterQueue, options);
  }

  public oldestMessage(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    return oldest(this.watched.queue, options);
  }

  public drift(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    const drift = this.watched.driftFunction;
    if (!drift)
      throw new Error('CognitoUserSync: there is no metric of drift: driftCheck is DriftCheck.none()');
    return metricOf(drift.functionName, 'drift', {
      period: Duration.days(1),
      statistic: 'Maximum',
      ...options,
    });
  }

  /** Failures in a day in which no check came to its end, of the check and of who reads rows for it. */
  public driftFailures(): cloudwatch.IMetric {
    const day = { period: Duration.days(1) };
    const { driftFunction, rowsFunction } = this.watched;
    const usingMetrics: Record<string, cloudwatch.Metric> = {
      done: this.drift({ statistic: 'SampleCount' }),
      check: driftFunction!.metricErrors(day),
    };
    if (rowsFunction) usingMetrics.rows = rowsFunction.metricErrors(day);
    const failed = rowsFunction ? 'FILL(check, 0) + FILL(rows, 0)' : 'FILL(check, 0)';
    return new cloudwatch.MathExpression({
      expression: `IF(FILL(done, 0) > 0, 0, ${failed})`,
      usingMetrics,
      ...day,
    });
  }

  public ledgerDaysAhead(options: cloudwatch.MetricOptions = {}): cloudwatch.Metric {
    const migrator = this.watched.migrator;
    if (!migrator)
      throw new Error('CognitoUserSync: nothing measures the ledger: migrations is Migrations.SKIP');
    const least = { period: Duration.days(1), statistic: 'Minimum', ...options };
    return metricOf(migrator.functionName, 'ledger_days_ahead', least);
  }
}

/** How all is going: an alarm for each way in which users could stop being synced, and a dashboard. */
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import { alarmMaker } from './alarm';
import { contextAlarms } from './context-alarms';
import { dashboard } from './dashboard';
import { Metrics } from './metrics';
import { rowAlarms } from './row-alarms';
import { signInAlarms } from './sign-in-alarms';
import { AlarmThresholds, checkWatched, heartbeatMinutes, limits } from './thresholds';
import { upkeepAlarms } from './upkeep-alarms';
import { Watched } from './watched';

/** What is watched, and how. */
export interface MonitoringProps {
  readonly watched: Watched;

  /** What the alarms do when they are raised, and when they are over; by default they are only shown. */
  readonly alarmActions?: cloudwatch.IAlarmAction[];

  /** From where on they ring; by default as `AlarmThresholds` says. */
  readonly thresholds?: AlarmThresholds;

  /**
   * How often a heartbeat is sent, in whole minutes from 1 to 60: the periods of the alarms that wait for one follow from
   * it. Each heartbeat wakes a database that pauses itself, so a longer interval lets it rest for longer.
   */
  readonly heartbeatInterval: Duration;
}

/** The alarms and the dashboard of one deployment. */
export class Monitoring extends Construct {
  /** The metrics, by what they answer. */
  public readonly metrics: Metrics;

  /** Each way in which users could stop being synced. */
  public readonly alarms: cloudwatch.Alarm[];

  /** How all is going. */
  public readonly dashboard: cloudwatch.Dashboard;

  constructor(scope: Construct, id: string, props: MonitoringProps) {
    super(scope, id);
    const { watched, alarmActions = [] } = props;
    checkWatched(props.thresholds, watched);
    const set = limits(props.thresholds, watched.isChained);
    const heartbeat = heartbeatMinutes(props.heartbeatInterval);
    const make = alarmMaker(this, alarmActions);
    this.metrics = new Metrics(watched);
    this.alarms = [
      ...rowAlarms(make, watched, this.metrics, set, heartbeat),
      ...signInAlarms(make, watched, this.metrics, set, heartbeat),
      ...upkeepAlarms(make, watched, this.metrics, set),
      ...(watched.contexts ? contextAlarms(make, watched.contexts, set) : []),
    ];
    this.dashboard = dashboard(this, watched, this.metrics, this.alarms, set, heartbeat);
  }
}

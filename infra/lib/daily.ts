/** Counts, by day, what the console's analytics show, every hour: nobody who opens a page waits for the ledger. */
import { CustomResource, Duration } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { Certificates } from './certificates';
import { Login } from './logins';
import { Network } from './network';
import { Programs } from './programs';
import { schedule } from './schedules';

/** Which days are counted, and as whom. */
export interface DailyProps {
  readonly programs: Programs;
  readonly network: Network;
  readonly certificates: Certificates;
  /** The consumer's: no other role but the owner's may write the days. */
  readonly login: Login;
  readonly migration?: CustomResource;
}

/** The function and its schedule. */
export class Daily extends Construct {
  /** The function that counts what changed since it did last. */
  public readonly dailyFunction: lambda.Function;

  constructor(scope: Construct, id: string, props: DailyProps) {
    super(scope, id);
    props.network.functionsNeed(...props.login.needs);
    const made = props.programs.function(this, {
      program: 'user-sync-operator',
      description: "Counts, by day, what the console's analytics show, and changes nothing else",
      timeout: Duration.minutes(15),
      memorySize: 256,
      environment: { USER_SYNC_OPERATION: 'daily' },
      network: props.network,
      layers: [props.certificates.layer],
      // The next hour's is as soon.
      retryAttempts: 0,
    });
    for (const [name, value] of Object.entries(props.login.bind(made))) made.addEnvironment(name, value);
    if (props.migration) made.node.addDependency(props.migration);
    schedule(this, 'Schedule', events.Schedule.rate(Duration.hours(1)), made, { daily: true });
    this.dailyFunction = made;
  }
}

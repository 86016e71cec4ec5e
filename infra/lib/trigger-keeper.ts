/** Puts the triggers back when somebody has taken them away. */
import { CfnOutput, CustomResource, Duration } from 'aws-cdk-lib';
import * as events from 'aws-cdk-lib/aws-events';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as ssm from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';
import { Attachment, permitUpdate, pinned } from './attachment';
import { Programs } from './programs';
import { schedule } from './schedules';

/** How often it looks, beside each change of the pool. */
const EVERY_5_MINUTES = events.Schedule.rate(Duration.minutes(5));

/** What the triggers are put back with. */
export interface TriggerKeeperProps {
  readonly programs: Programs;
  readonly attachment: Attachment;
  /** What sets the triggers at a deployment. */
  readonly resource: CustomResource;
}

/**
 * The function that looks, and puts back what is missing, and the parameter that holds it.
 *
 * All of it waits for the resource that sets the triggers, and so is deleted before that one takes them away: afterwards it
 * would put back a function that is deleted next. The role and the parameter stop what is still running.
 */
export class TriggerKeeper extends Construct {
  /** The function that looks, and puts back what is missing. */
  public readonly keeperFunction: lambda.Function;

  /** The hold, the attempts and the gaps, which people and the function write. */
  public readonly parameter: ssm.StringParameter;

  constructor(scope: Construct, id: string, { programs, attachment, resource }: TriggerKeeperProps) {
    super(scope, id);
    this.parameter = new ssm.StringParameter(this, 'Parameter', {
      // CloudFormation writes the value again when any property differs, and with it would end a hold: leave them alone.
      description:
        "Whether the user pool's triggers are put back, and when they were missing (user-sync triggers)",
      stringValue: '{}',
    });
    this.keeperFunction = programs.function(this, {
      program: 'user-sync-operator',
      description: "Puts back the user pool's two triggers when somebody has taken them away",
      // It waits for Cognito where that throttles, and where somebody else changes the pool meanwhile.
      timeout: Duration.minutes(3),
      memorySize: 256,
      environment: {
        USER_SYNC_OPERATION: 'keep-triggers',
        ...pinned(attachment),
        USER_SYNC_KEEP_TRIGGERS: 'true',
        USER_SYNC_TRIGGERS_PARAMETER: this.parameter.parameterName,
      },
      // After a minute; then the schedule is as soon.
      retryAttempts: 1,
    });
    permitUpdate(this.keeperFunction, attachment);
    permitParameter(this.parameter, this.keeperFunction);
    const rule = schedule(this, 'Schedule', EVERY_5_MINUTES, this.keeperFunction, { keep: true });
    for (const part of [this.parameter, this.keeperFunction, this.keeperFunction.role!, rule])
      part.node.addDependency(resource);
    new CfnOutput(this, 'TriggersParameterName', {
      description: 'USER_SYNC_TRIGGERS_PARAMETER, for `user-sync triggers hold`',
      value: this.parameter.parameterName,
    });
  }
}

/**
 * Permits to read and to write the one parameter. A version of it is read by the same action on the same ARN: IAM's
 * resource is the name, and the `:version` behind it a selector ("Actions, resources, and condition keys for AWS Systems
 * Manager"; `Selector` in "Parameter", Systems Manager API Reference).
 */
export function permitParameter(parameter: ssm.IParameter, grantee: iam.IGrantable): iam.Grant {
  const actions = ['ssm:GetParameter', 'ssm:PutParameter'];
  return iam.Grant.addToPrincipal({ grantee, actions, resourceArns: [parameter.parameterArn] });
}

/** What makes CloudFormation ask at each deployment. */
import { Construct } from 'constructs';

/** The key of the context that stands in for the time of the synthesis. */
const DEPLOYMENT_KEY = 'userSyncDeployment';

/** What differs with each synthesis, unless the context says it. */
export function deployment(scope: Construct): string {
  const given: unknown = scope.node.tryGetContext(DEPLOYMENT_KEY);
  return given === undefined ? new Date().toISOString() : String(given);
}

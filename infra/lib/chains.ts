/** The functions that were the pool's triggers before, which ours calls first. */
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';

/** Who was the trigger before. */
export interface Chains {
  readonly chainPostConfirmation?: lambda.IFunction;
  readonly chainPostAuthentication?: lambda.IFunction;
}

/** Whether ours waits for another function. */
export function isChained({ chainPostConfirmation, chainPostAuthentication }: Chains): boolean {
  return chainPostConfirmation !== undefined || chainPostAuthentication !== undefined;
}

/** What the trigger, and the functions that set it, are told of them. */
export function chainEnvironment(chains: Chains): Record<string, string> {
  const { chainPostConfirmation, chainPostAuthentication } = chains;
  return {
    ...(chainPostConfirmation && { USER_SYNC_CHAIN_POST_CONFIRMATION: chainPostConfirmation.functionArn }),
    ...(chainPostAuthentication && {
      USER_SYNC_CHAIN_POST_AUTHENTICATION: chainPostAuthentication.functionArn,
    }),
  };
}

/** Permits to call them, and nobody else. */
export function grantChains(chains: Chains, grantee: iam.IGrantable): void {
  const resourceArns = [...new Set(Object.values<string>(chainEnvironment(chains)))];
  if (resourceArns.length > 0)
    iam.Grant.addToPrincipal({ grantee, actions: ['lambda:InvokeFunction'], resourceArns });
}

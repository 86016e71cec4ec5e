export { AttachOptions, PoolTriggers } from './attach-options';
export { ClientMetadataKeys } from './client-metadata';
export { CognitoUserSync } from './cognito-user-sync';
export { CommandTaskOptions } from './command-task';
export { CommonProps, TriggerOptions } from './common-props';
export { FargateComputeOptions, LambdaComputeOptions, UserSyncCompute } from './compute';
export { ConsoleReplica, ConsoleRoles, FargateConsoleOptions, UserSyncConsole } from './console';
export { ConsoleRight } from './console-rights';
export { ConsoleSignIn, OidcSignInOptions, UserPoolSignInOptions } from './console-sign-in';
export * from './database';
export { DatabaseAuth, DatabaseLogins, SecretAuthOptions } from './database-auth';
export { DriftCheck } from './drift-check';
export { EndpointOptions } from './endpoints';
export {
  CloudTrailContextOptions,
  LoginContext,
  LoginContextProps,
  ThreatProtectionContextOptions,
} from './login-context';
export { Migrations } from './migrations';
export { AlarmThresholds } from './monitoring/thresholds';
export { CognitoUserSyncProps } from './props';
export { UserSyncTrigger, UserSyncTriggerProps } from './user-sync-trigger';

export * from './cognito-user-sync';
export * from './database';
export {
  CloudTrailContextOptions,
  LoginContext,
  LoginContextProps,
  ThreatProtectionContextOptions,
} from './login-context';
export { AlarmThresholds } from './monitoring/thresholds';
export * from './options';
export * from './props';

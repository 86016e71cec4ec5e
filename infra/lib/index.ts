export * from './cognito-user-sync';
export * from './database';
export * from './options';
export * from './props';

/** Who migrates the database, as a prop says it. */
/** Who migrates the database. */
export enum Migrations {
  /** A deployment does, before the consumer's new code runs; the ledger is maintained daily. */
  RUN = 'run',

  /** You do: `user-sync migrate` before a deployment, `user-sync maintain` daily. */
  SKIP = 'skip',
}

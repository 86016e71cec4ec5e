/** What a prop may be, and what is said of one that cannot. */
import { Duration, Token } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';

/** A prop that cannot be used, with the limit and what was given. */
export function refuse(prop: string, given: unknown, expected: string): never {
  throw new Error(refusal(prop, given, expected));
}

/** The same, where all that is wrong is said at once. */
export function refusal(prop: string, given: unknown, expected: string): string {
  return `CognitoUserSync: ${prop} is ${JSON.stringify(given)}: it must be ${expected}`;
}

/** A whole number from `min` to `max`; what is known at deployment only is not checked. */
export function wholeNumber(prop: string, given: number, min: number, max: number): number {
  if (Token.isUnresolved(given) || (Number.isInteger(given) && given >= min && given <= max)) return given;
  return refuse(prop, given, `a whole number from ${min} to ${max}`);
}

/** A duration of whole seconds from `min` to `max`. */
export function seconds(prop: string, given: Duration, min: number, max: number): Duration {
  const value = given.toSeconds({ integral: false });
  if (Number.isInteger(value) && value >= min && value <= max) return given;
  return refuse(prop, `${value} s`, `whole seconds from ${min} to ${max}`);
}

/** The name of a schema, which is quoted: all that PostgreSQL takes and does not cut off. */
export function schemaName(prop: string, given: string): string {
  if (Token.isUnresolved(given)) return given;
  const bytes = Buffer.byteLength(given);
  const isReserved = given.startsWith('pg_') || given === 'information_schema';
  if (bytes >= 1 && bytes <= 63 && !isReserved) return given;
  return refuse(prop, given, "1 to 63 bytes, and not one of PostgreSQL's own (pg_…, information_schema)");
}

/** The prefix of roles' names, short enough that `<prefix>_consumer_login` has PostgreSQL's 63 bytes at most. */
export function rolePrefix(prop: string, given: string): string {
  if (Token.isUnresolved(given)) return given;
  if (/^[a-z_][a-z0-9_]{0,47}$/.test(given) && !given.startsWith('pg_')) return given;
  return refuse(
    prop,
    given,
    '1 to 48 lower-case letters, digits or _, beginning with a letter or _, and not with pg_, which PostgreSQL keeps for itself',
  );
}

/** A name of PostgreSQL's that stands in a URL as it is. */
export function databaseWord(prop: string, given: string): string {
  if (Token.isUnresolved(given) || /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(given)) return given;
  return refuse(prop, given, '1 to 63 letters, digits, _ or -, beginning with a letter or _');
}

/** What the programs are built for: the architecture itself, or a custom one of its name. */
export function architecture(prop: string, given: lambda.Architecture): lambda.Architecture {
  const { X86_64, ARM_64 } = lambda.Architecture;
  const known = [X86_64, ARM_64].find(({ name }) => name === given.name);
  return known ?? refuse(prop, given.name, 'lambda.Architecture.X86_64 or lambda.Architecture.ARM_64');
}

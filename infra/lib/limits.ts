import { Duration, Token } from 'aws-cdk-lib';

/** A prop that cannot be used, with the limit and what was given. */
export function refuse(prop: string, given: unknown, expected: string): never {
  throw new Error(`CognitoUserSync: ${prop} is ${JSON.stringify(given)}: it must be ${expected}`);
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

/** A name of PostgreSQL's that stands in a URL as it is. */
export function databaseWord(prop: string, given: string): string {
  if (Token.isUnresolved(given) || /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/.test(given)) return given;
  return refuse(prop, given, '1 to 63 letters, digits, _ or -, beginning with a letter or _');
}

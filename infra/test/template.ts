/** Questions about a synthesised template. */
import { Template } from 'aws-cdk-lib/assertions';

/* eslint-disable @typescript-eslint/no-explicit-any */
export interface Resource {
  readonly Type: string;
  readonly Properties: any;
  readonly DependsOn?: string[];
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

export interface Statement {
  readonly Sid?: string;
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource?: any;
  readonly Condition?: any;
}

export class Questions {
  public readonly resources: Record<string, Resource>;

  constructor(public readonly template: Template) {
    this.resources = template.toJSON().Resources;
  }

  /** The logical ids of a type, of those that begin with a prefix. */
  public ids(type: string, prefix = 'Sync'): string[] {
    return Object.keys(this.resources).filter(
      (id) => id.startsWith(prefix) && this.resources[id]!.Type === type,
    );
  }

  /** The one resource of a type whose id begins so. */
  public one(type: string, prefix: string): Resource {
    const ids = this.ids(type, prefix);
    if (ids.length !== 1) throw new Error(`${ids.length} of ${type} begin with ${prefix}: ${ids.join(', ')}`);
    return this.resources[ids[0]!]!;
  }

  public properties(type: string, prefix: string): any {
    return this.one(type, prefix).Properties;
  }

  public function(name: string): any {
    return this.properties('AWS::Lambda::Function', `Sync${name}Function`);
  }

  public environment(name: string): Record<string, any> {
    return this.function(name).Environment.Variables;
  }

  /** All that a role may do; which role by the beginning of its id. */
  public statements(role: string): Statement[] {
    const holds = (policy: Resource) =>
      policy.Properties.Roles.some((holder: any) => holder.Ref?.startsWith(role));
    const policies = Object.values(this.resources).filter(({ Type }) => Type === 'AWS::IAM::Policy');
    return policies.filter(holds).flatMap((policy) => policy.Properties.PolicyDocument.Statement);
  }

  /** All that a resource waits for, at any remove: CloudFormation makes it after them, and deletes it before them. */
  public waitsFor(id: string, seen = new Set<string>()): Set<string> {
    const { DependsOn = [], Properties } = this.resources[id]!;
    // A text of `Fn::Sub` is none that the construct makes.
    const named = [...JSON.stringify(Properties ?? {}).matchAll(/\{"(?:Ref|Fn::GetAtt)":\[?"(\w+)"/g)];
    for (const next of [...asList(DependsOn), ...named.map(([, name]) => name!)]) {
      if (!this.resources[next] || seen.has(next)) continue;
      seen.add(next);
      this.waitsFor(next, seen);
    }
    return seen;
  }

  /** The actions that a role is allowed, sorted. */
  public allowed(role: string): string[] {
    const allowed = this.statements(role).filter(({ Effect }) => Effect === 'Allow');
    return [...new Set(allowed.flatMap(({ Action }) => Action))].sort();
  }
}

export const asList = <T>(one: T | T[]): T[] => (Array.isArray(one) ? one : [one]);

/** Whether EventBridge's rule takes an event: of each leaf of the pattern, one of what it names is as the event has it. */
export function matches(pattern: any, event: any): boolean {
  return Object.entries<any>(pattern).every(([key, wanted]) => {
    const given = event?.[key];
    if (!Array.isArray(wanted)) return given instanceof Object && matches(wanted, given);
    // What is there is seen of leaves only.
    const isThere = given !== undefined && !(given instanceof Object);
    return wanted.some((value) => {
      if (value?.exists !== undefined) return value.exists === isThere;
      if (value?.['anything-but']) return isThere && !value['anything-but'].includes(given);
      return JSON.stringify(value) === JSON.stringify(given);
    });
  });
}

/** What EventBridge's input transformer makes of an event: a variable outside of quotes becomes the JSON that is there. */
export function transformed({ InputPathsMap, InputTemplate }: any, event: any): unknown {
  const at = (path: string) =>
    path
      .split('.')
      .slice(1)
      .reduce((value, key) => value?.[key], event);
  const filled = Object.entries<string>(InputPathsMap).reduce(
    (text, [name, path]) => text.replaceAll(`<${name}>`, JSON.stringify(at(path))),
    InputTemplate as string,
  );
  return JSON.parse(filled);
}

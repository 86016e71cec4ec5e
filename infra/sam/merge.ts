/** Makes one template of the templates that differ by switches: what differs stands behind a condition. */
import { PARAMETERS, SWITCHES } from './parameters';
import { Plain, Resource } from './plain';

/* eslint-disable @typescript-eslint/no-explicit-any */
/** What was synthesized with some switches off. */
export interface Variant<T = Plain> {
  readonly off: ReadonlySet<string>;
  readonly value: T;
}

const ABSENT = Symbol('absent');
const NO_VALUE = { Ref: 'AWS::NoValue' };

/** The conditions by name, those that combine others among them. */
export type Conditions = Record<string, any>;

/** Where an object of a dashboard stands is as with all switches on. */
const PLACES = ['x', 'y', 'width', 'height'];

const isObject = (value: any) => value instanceof Object && !Array.isArray(value);
const isFunction = (value: any) => isObject(value) && /^(Ref|Fn::\w+)$/.test(Object.keys(value)[0] ?? '');
const text = (value: any) => (value === ABSENT ? '' : JSON.stringify(value));

/** Merges variants; the first one has all switches on. */
export class Merger {
  private readonly defined: Conditions = Object.fromEntries(
    SWITCHES.map(({ parameter, condition, off }) => {
      const isOff = { 'Fn::Equals': [{ Ref: parameter }, off] };
      const on = PARAMETERS[parameter]!.allowed?.find((value) => value !== off);
      return [
        condition,
        on === undefined ? { 'Fn::Not': [isOff] } : { 'Fn::Equals': [{ Ref: parameter }, on] },
      ];
    }),
  );

  /** The conditions that are used. */
  public conditions(merged: Plain): Conditions {
    const used = (text: string, name: string) =>
      new RegExp(`"(?:Condition":|Fn::If":\\[)"${name}"`).test(text);
    const parts = JSON.stringify(merged);
    const combined = Object.entries(this.defined).filter(([name]) => used(parts, name));
    const all = parts + JSON.stringify(combined.map(([, rule]) => rule));
    return Object.fromEntries(Object.entries(this.defined).filter(([name]) => used(all, name)));
  }

  public merge(variants: Variant[]): Plain {
    const ids = union(variants.map(({ value }) => Object.keys(value.resources)));
    const resources: Record<string, Resource> = {};
    for (const id of ids) {
      const all = variants.map(({ off, value }) => ({ off, value: value.resources[id] ?? ABSENT }));
      const there = all.filter(({ value }) => value !== ABSENT) as Variant<Resource>[];
      const { Type, path, Properties: _, DependsOn: __, ...attributes } = there[0]!.value;
      const waits = this.lists(there.map(({ off, value }) => ({ off, value: value.DependsOn ?? [] })));
      const DependsOn = waits.filter((one) => typeof one === 'string');
      // DependsOn takes no condition; CloudFormation waits for what is named in the metadata, too.
      const WaitsFor = waits
        .filter((one) => typeof one !== 'string')
        .map(({ 'Fn::If': [condition, on, off] }) => ({ 'Fn::If': [condition, named(on), named(off)] }));
      const Condition = this.presence(all);
      resources[id] = {
        Type,
        path,
        ...(Condition && { Condition }),
        ...(DependsOn.length > 0 && { DependsOn }),
        ...attributes,
        ...(WaitsFor.length > 0 && { Metadata: { WaitsFor } }),
        Properties: this.values(there.map(({ off, value }) => ({ off, value: value.Properties ?? {} }))),
      };
    }
    const outputs: Record<string, any> = {};
    for (const id of union(variants.map(({ value }) => Object.keys(value.outputs)))) {
      const all = variants.map(({ off, value }) => ({ off, value: value.outputs[id] ?? ABSENT }));
      const there = all.filter(({ value }) => value !== ABSENT);
      const Condition = this.presence(all);
      outputs[id] = { ...(Condition && { Condition }), ...this.values(there) };
    }
    return { resources, outputs };
  }

  private values(all: Variant<any>[]): any {
    if (new Set(all.map(({ value }) => text(value))).size === 1) return all[0]!.value;
    const there = all.filter(({ value }) => value !== ABSENT);
    if (there.length < all.length) {
      const isOff = SWITCHES.find(({ condition }) =>
        all.every(({ off, value }) => off.has(condition) === (value !== ABSENT)),
      );
      if (isOff) return this.choice(isOff.condition, NO_VALUE, this.values(there));
      return this.choice(this.presence(all)!, this.values(there), NO_VALUE);
    }
    if (all.every(({ value }) => isObject(value) && !isFunction(value))) return this.objects(all);
    if (all.every(({ value }) => Array.isArray(value))) return this.lists(all);
    return this.decision(all);
  }

  private objects(all: Variant<any>[]): any {
    const made: any = {};
    for (const key of union(all.map(({ value }) => Object.keys(value)))) {
      let inner = all.map(({ off, value }) => ({ off, value: value[key] ?? ABSENT }));
      if (PLACES.includes(key)) {
        made[key] = inner[0]!.value;
        continue;
      }
      const isListed = inner.some(({ value }) => Array.isArray(value));
      if (isListed && ['Resource', 'Action'].includes(key))
        inner = inner.map(({ off, value }) => ({
          off,
          value: value === ABSENT || Array.isArray(value) ? value : [value],
        }));
      made[key] = this.values(inner);
    }
    return made;
  }

  private lists(all: Variant<any[]>[]): any[] {
    const keyed = all.map(({ off, value }) => ({ off, value: byKey(value) }));
    const keys = union(keyed.map(({ value }) => [...value.keys()]));
    return keys.map((key) =>
      this.values(keyed.map(({ off, value }) => ({ off, value: value.has(key) ? value.get(key) : ABSENT }))),
    );
  }

  /** Of two kinds, the condition that tells them apart; else a switch that matters, and what there is on either side of it. */
  private decision(all: Variant<any>[]): any {
    const kinds = [...new Set(all.map(({ value }) => text(value)))];
    if (kinds.length === 2) {
      const condition = this.condition(all, ({ value }) => text(value) === kinds[0]);
      const [on, off] = kinds.map((kind) => all.filter(({ value }) => text(value) === kind));
      if (condition) return this.choice(condition, this.values(on!), this.values(off!));
    }
    const matters = SWITCHES.find(({ condition }) => {
      const others = ({ off }: Variant<any>) => [...off].filter((one) => one !== condition).join();
      return all.some((one) =>
        all.some((other) => others(one) === others(other) && text(one.value) !== text(other.value)),
      );
    });
    if (!matters) throw new Error(`no switch tells these apart: ${text(all[0]!.value)}`);
    const { condition } = matters;
    const [on, off] = [false, true].map((isOff) => all.filter((one) => one.off.has(condition) === isOff));
    return this.choice(condition, this.values(on!), this.values(off!));
  }

  private choice(condition: string, on: any, off: any): any {
    const own = SWITCHES.find((one) => one.condition === condition);
    if (own && on === 'true' && off === 'false') return { Ref: own.parameter };
    return { 'Fn::If': [condition, on, off] };
  }

  /** The condition by which something is there; none if it always is. */
  private presence(all: Variant<any>[]): string | undefined {
    if (all.every(({ value }) => value !== ABSENT)) return undefined;
    const condition = this.condition(all, ({ value }) => value !== ABSENT);
    if (condition) return condition;
    const shown = all.find(({ value }) => value !== ABSENT)!.value;
    throw new Error(`no two switches say when this is there: ${text(shown).slice(0, 300)}`);
  }

  /** A condition of one or two switches that holds of those variants, and of no others. */
  private condition<T>(all: Variant<T>[], isSo: (one: Variant<T>) => boolean): string | undefined {
    const literals = SWITCHES.flatMap(({ condition: name }) => [
      { name, rule: { Condition: name }, holds: ({ off }: Variant<T>) => !off.has(name) },
      {
        name: `Not${name}`,
        rule: { 'Fn::Not': [{ Condition: name }] },
        holds: ({ off }: Variant<T>) => off.has(name),
      },
    ]);
    const fits = (holds: (one: Variant<T>) => boolean) => all.every((one) => holds(one) === isSo(one));
    const single = literals.find(({ holds }) => fits(holds));
    if (single) return this.define(single.name, single.rule);
    for (const [index, one] of literals.entries()) {
      for (const other of literals.slice(index + 1)) {
        if (fits((variant) => one.holds(variant) && other.holds(variant)))
          return this.define(`${one.name}And${other.name}`, { 'Fn::And': [one.rule, other.rule] });
        if (fits((variant) => one.holds(variant) || other.holds(variant)))
          return this.define(`${one.name}Or${other.name}`, { 'Fn::Or': [one.rule, other.rule] });
      }
    }
    return undefined;
  }

  private define(name: string, rule: any): string {
    this.defined[name] ??= rule;
    return name;
  }
}

/** All items of all lists, each where the list that has it first has it. */
function union(lists: string[][]): string[] {
  const made: string[] = [];
  for (const list of lists) {
    list.forEach((item, index) => {
      if (made.includes(item)) return;
      const after = index === 0 ? -1 : made.indexOf(list[index - 1]!);
      made.splice(after + 1, 0, item);
    });
  }
  return made;
}

/** The items of a list by what makes one the same in another variant. */
function byKey(list: any[]): Map<string, any> {
  const keyed = new Map<string, any>();
  for (const item of list) {
    const { Resource: _, ...statement } = isObject(item) ? item : ({} as any);
    const name =
      item?.PolicyName ?? item?.Sid ?? item?.Id ?? item?.Key ?? item?.properties?.title ?? heading(item);
    const key = name ?? text('Effect' in statement ? statement : item);
    let free = key;
    for (let next = 2; keyed.has(free); next += 1) free = `${key} ${next}`;
    keyed.set(free, item);
  }
  return keyed;
}

/** The first line of a dashboard's text. */
function heading(item: any): string | undefined {
  if (item?.type !== 'text') return undefined;
  const { markdown } = item.properties;
  return (markdown['Fn::Sub'] ?? markdown).split(/[\n ]*\n| \$/)[0];
}

/** A reference to what is to be waited for; a dependency is the name only. */
const named = (one: any) => (typeof one === 'string' ? { Ref: one } : one);

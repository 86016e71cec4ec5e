import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { PARAMETERS, SWITCHES, Value } from '../sam/parameters';
import { JSON_TEXT, Plain, plain, reduceDependencies, Resource } from '../sam/plain';
import { Made, make, render, TEMPLATE, values } from '../sam/render';
import { synthesize } from '../sam/stack';
import { INFRA } from './support';

/* eslint-disable @typescript-eslint/no-explicit-any */
const made = make();

/** What somebody deploys with, where there is no default. */
const GIVEN: Record<string, Value> = {
  UserPoolId: 'eu-west-1_Abc123Def',
  VpcId: 'vpc-0123456789abcdef0',
  SubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
  DatabaseHost: 'db.example.eu-west-1.rds.amazonaws.com',
  DatabaseName: 'app',
  DatabaseResourceId: 'db-ABC',
  DatabaseSecurityGroupId: 'sg-0123456789abcdef0',
  AdminSecretArn: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:admin-AbCdEf',
  AlarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:on-call',
  ChainPostConfirmationArn: 'arn:aws:lambda:eu-west-1:123456789012:function:welcome',
  ChainPostAuthenticationArn: 'arn:aws:lambda:eu-west-1:123456789012:function:audit',
};

/** As CloudFormation takes a template with these parameters: conditions decided, parameters filled in. */
function deployed({ resources, outputs, conditions }: Made, parameters: Record<string, Value>): Plain {
  const filled = (text: string) =>
    text.replace(/\$\{(\w+)\}/g, (all, name) => (name in parameters ? String(parameters[name]) : all));
  const holds = (rule: any): boolean => {
    if ('Condition' in rule) return holds(conditions[rule.Condition]);
    if ('Fn::Not' in rule) return !holds(rule['Fn::Not'][0]);
    if ('Fn::And' in rule) return rule['Fn::And'].every(holds);
    if ('Fn::Or' in rule) return rule['Fn::Or'].some(holds);
    const [one, other] = rule['Fn::Equals'].map(resolved);
    return one === other;
  };
  const resolved = (value: any): any => {
    if (Array.isArray(value)) return value.map(resolved).filter((item) => item !== undefined);
    if (!(value instanceof Object)) return value;
    if (value.Ref === 'AWS::NoValue') return undefined;
    if (value.Ref in parameters) return parameters[value.Ref];
    if ('Fn::If' in value) {
      const [condition, on, off] = value['Fn::If'];
      return resolved(holds(conditions[condition]) ? on : off);
    }
    if (typeof value['Fn::Sub'] === 'string') {
      const text = filled(value['Fn::Sub']);
      return text.includes('${') ? { 'Fn::Sub': text } : text;
    }
    const entries = Object.entries(value).map(([key, inner]) => [key, resolved(inner)]);
    return Object.fromEntries(entries.filter(([, inner]) => inner !== undefined));
  };
  const kept = <T extends { Condition?: string }>(all: Record<string, T>) =>
    Object.entries(all).filter(
      ([, { Condition }]) => Condition === undefined || holds(conditions[Condition]),
    );
  const there: Record<string, Resource> = {};
  for (const [id, { Condition: _, Metadata, ...resource }] of kept(resources as any) as any) {
    const waits = resolved(Metadata?.WaitsFor ?? []).map(({ Ref }: any) => Ref);
    there[id] = resolved({ ...resource, DependsOn: [...(resource.DependsOn ?? []), ...waits] });
  }
  reduceDependencies(there);
  const shown = kept(outputs).map(([id, { Condition: _, ...output }]) => [id, resolved(output)]);
  return { resources: there, outputs: Object.fromEntries(shown) };
}

/** Without what may differ: where a widget stands, `path`, and whether one thing is a list of one. */
function comparable(value: any): any {
  if (Array.isArray(value)) return value.map(comparable);
  if (!(value instanceof Object)) return String(value);
  const entries = Object.entries(value).flatMap(([key, inner]): [string, any][] => {
    if (key === 'path' || inner === undefined) return [];
    if (key === JSON_TEXT) return [[key, comparable(withoutPlaces(inner))]];
    const one = ['Action', 'Resource'].includes(key) && Array.isArray(inner) && inner.length === 1;
    return [[key, comparable(one ? inner[0] : inner)]];
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function withoutPlaces(dashboard: any): any {
  const widgets = dashboard.widgets.map(({ x: _, y: __, width: ___, height: ____, ...rest }: any) => rest);
  return { ...dashboard, widgets };
}

/** All on, all off, and some of three and more switches that are off, which the renderer has not seen. */
function* combinations(): Generator<Set<string>> {
  const names = SWITCHES.map(({ condition }) => condition);
  yield new Set();
  yield new Set(names);
  let state = 23;
  for (let round = 0; round < 8; round += 1) {
    const off = names.filter(() => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return state % 1_000 < 500;
    });
    yield new Set(off);
  }
}

test('the template that is kept is what the construct says', () => {
  const kept = fs.readFileSync(TEMPLATE, 'utf8');
  assert.equal(kept === render(made), true, 'infra/sam/template.yaml is not what render.ts writes: make sam');
});

test('with any switches, the template deploys what the construct does with these values', () => {
  for (const off of combinations()) {
    const defaults = Object.entries(PARAMETERS).map(([name, one]) => [name, GIVEN[name] ?? one.default!]);
    const parameters = values(off, { ...Object.fromEntries(defaults), ...switchedOn() });
    const expected = comparable(plain(synthesize(parameters), false));
    const actual = comparable(deployed(made, parameters));
    const without = [...off].join(', ');
    assert.deepEqual(Object.keys(actual.resources), Object.keys(expected.resources), `without ${without}`);
    for (const [id, resource] of Object.entries(expected.resources))
      assert.deepEqual(actual.resources[id], resource, `${id} without ${without}`);
    assert.deepEqual(actual.outputs, expected.outputs, `outputs without ${without}`);
  }
});

/** The values that switch parts on, of what is no text of somebody's own. */
function switchedOn(): Record<string, Value> {
  const on = Object.entries(PARAMETERS).filter(([, one]) => one.condition && one.allowed);
  return Object.fromEntries(on.map(([name, { standIn }]) => [name, standIn]));
}

test('each name of `sam` in the table of settings is a parameter with that default, and each setting is there', () => {
  const table = path.join(INFRA, 'settings.json');
  const settings: any[] = JSON.parse(fs.readFileSync(table, 'utf8'));
  const named = new Map(settings.filter(({ sam }) => sam !== null).map((one) => [one.sam, one]));
  for (const [name, { default: byDefault }] of named)
    assert.equal(String(PARAMETERS[name]?.default || null), String(byDefault), `the default of ${name}`);
  assert.deepEqual(
    Object.keys(PARAMETERS).filter((name) => !named.has(name)),
    [],
  );
  for (const { name, sam, why } of settings)
    assert.ok(sam !== null || why, `${name} says why SAM has it not`);
});

/** Writes template.yaml: the construct as CloudFormation has it, for those who use neither CDK nor Terraform. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Merger, Variant } from './merge';
import { GROUPS, Parameter, PARAMETERS, SWITCHES, Value } from './parameters';
import { JSON_TEXT, Plain, plain, Resource } from './plain';
import { synthesize } from './stack';
import { yaml } from './yaml';

/* eslint-disable @typescript-eslint/no-explicit-any */
/** The parts of the template, in their order: the names that their resources begin with, and what they are. */
const SECTIONS: [string[], string, string][] = [
  [
    ['Trigger', 'Queue', 'DeadLetterQueue'],
    'Trigger',
    'Each sign-up and login goes onto the queue, within the sign-in.',
  ],
  [
    ['PoolTriggers'],
    "The pool's triggers",
    'Sets both triggers of the pool at each deployment, and puts back what was there when the stack is deleted.',
  ],
  [
    ['TriggerKeeper', 'TriggersParameter', 'Keep', 'PoolChanges'],
    'Keeper of the triggers',
    'Looks when the pool is changed; puts the triggers back with KeepTriggers=true.',
  ],
  [
    ['Network', 'SecurityGroup', 'DatabaseSecurityGroup'],
    'Network',
    'What connects to the database and to AWS, and is connected to by nobody.',
  ],
  [
    ['Logins', 'ConsumerSecret', 'ReaderSecret'],
    'Logins',
    'The passwords of the two logins, with DatabaseAuth=secret.',
  ],
  [['Certificate'], 'Certificates', "What the database's certificate is checked against: layer/rds-ca.pem."],
  [
    ['Schema', 'Migrat', 'Maintenance'],
    'Schema',
    "Migrates before the consumer's new code runs, and maintains the ledger daily.",
  ],
  [
    ['Consumer', 'Mapping'],
    'Consumer',
    'Applies the events of the queue to the database, each exactly once.',
  ],
  [['Lifecycle', 'Heartbeat'], 'Lifecycle', 'Sends heartbeats, and what happens to users beside sign-ins.'],
  [['Rows'], 'Rows', 'Answers what those outside of the VPC ask about rows.'],
  [['Drift'], 'Drift', 'Compares the pool with the table every day, and changes neither.'],
  [
    ['Context', 'SignInRecord', 'Records', 'Audit'],
    'Contexts',
    'Where logins came from, and whether all that AWS recorded were counted.',
  ],
  [['DeploymentCheck'], 'Deployment check', 'A deployment is green only when a heartbeat has come through.'],
  [
    ['CustomResources', 'OperatorBuild'],
    'Custom resources',
    'The one function that CloudFormation asks, outside of the VPC, which answers for those above.',
  ],
  [['Monitoring', 'Alarms'], 'Alarms', 'Each way in which users could stop being synced.'],
  [['Dashboard', 'MonitoringDashboard'], 'Dashboard', 'How all is going.'],
];

/** What everything is synthesized with, whose parts are all there. */
export function values(
  off: ReadonlySet<string> = new Set(),
  given?: Record<string, Value>,
): Record<string, Value> {
  const one = ([name, { standIn, condition, off: isOff = '' }]: [string, Parameter]) => [
    name,
    condition !== undefined && off.has(condition) ? isOff : (given?.[name] ?? standIn),
  ];
  return Object.fromEntries(Object.entries(PARAMETERS).map(one as any));
}

/** All switches on, each one off, and each two off: whatever depends on at most two is seen. */
function variants(): Variant[] {
  const names = SWITCHES.map(({ condition }) => condition);
  const sets = [[], ...names.map((one) => [one])];
  names.forEach((one, index) => names.slice(index + 1).forEach((other) => sets.push([one, other])));
  return sets.map((set) => {
    const off = new Set(set);
    return { off, value: plain(synthesize(values(off)), true) };
  });
}

/** The template as an object, with `path` in each resource. */
export interface Made extends Plain {
  readonly conditions: Record<string, any>;
}

/** Makes the template. */
export function make(): Made {
  const merger = new Merger();
  const merged = merger.merge(variants());
  const text = JSON.stringify(merged, (key, value) => (key === 'path' ? undefined : value));
  const left = /stand.?in(?!g)/i.exec(text);
  if (left) throw new Error(`a stand-in is left: ${left.input.slice(left.index - 100, left.index + 60)}`);
  const conditions = merger.conditions(merged);
  const used = text + JSON.stringify(conditions);
  const unused = Object.keys(PARAMETERS).filter(
    (name) => !new RegExp(`"Ref":"${name}"|\\{${name}\\}`).test(used),
  );
  if (unused.length > 0) throw new Error(`no part of the template has ${unused.join(', ')}`);
  return { ...merged, conditions };
}

/** The template as text. */
export function render(made: Made): string {
  const sections = new Map<string, string[]>(SECTIONS.map(([, title, words]) => [heading(title, words), []]));
  const byRank = (one: [string, Resource]) => (one[1].Type === 'AWS::Lambda::Function' ? 0 : 1);
  const resources = Object.entries(made.resources).sort((one, other) => byRank(one) - byRank(other));
  for (const [id, { path: _, ...resource }] of resources) {
    const matching = SECTIONS.flatMap(([begins, title, words]) =>
      begins
        .filter((begin) => id.startsWith(begin))
        .map((begin) => ({ length: begin.length, key: heading(title, words) })),
    ).sort((one, other) => other.length - one.length);
    const key = matching[0]?.key ?? heading(made.resources[id]!.path![1] ?? id, '');
    const lines = `  ${id}:${yaml(dashboards(resource), 4)}`;
    sections.set(key, [...(sections.get(key) ?? []), lines]);
  }
  const body = [...sections]
    .filter(([, list]) => list.length > 0)
    .map(([key, list]) => `${key}\n${list.join('\n')}`);
  return [
    fs.readFileSync(path.join(__dirname, 'head.txt'), 'utf8').trimEnd(),
    "AWSTemplateFormatVersion: '2010-09-09'",
    'Description: Every user of a user pool as a row in your PostgreSQL',
    `\nParameters:\n${parameters()}`,
    `\nRules:${yaml(RULES, 2)}`,
    `\nMetadata:${yaml(METADATA, 2)}`,
    `\nConditions:${yaml(made.conditions, 2)}`,
    `\nResources:\n${body.join('\n\n')}`,
    `\nOutputs:${yaml(made.outputs, 2)}\n`,
  ].join('\n');
}

const heading = (title: string, words: string) =>
  `  # ${title} ${'-'.repeat(Math.max(3, 100 - title.length))}${words && `\n  # ${words}`}`;

function parameters(): string {
  return Object.entries(GROUPS)
    .map(([group, members]) => {
      const each = Object.entries(members).map(([name, one]) => {
        const shown = {
          Type: one.type ?? 'String',
          ...(one.default !== undefined && { Default: one.default }),
          ...(one.allowed && { AllowedValues: one.allowed }),
          ...(one.min !== undefined && { MinValue: one.min, MaxValue: one.max }),
          Description: one.description,
        };
        return `  ${name}:${yaml(shown, 4)}`;
      });
      return `  # ${group}\n${each.join('\n')}`;
    })
    .join('\n');
}

const RULES = {
  IamNeedsTheResourceId: {
    RuleCondition: { 'Fn::Equals': [{ Ref: 'DatabaseAuth' }, 'iam'] },
    Assertions: [
      {
        Assert: { 'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'DatabaseResourceId' }, ''] }] },
        AssertDescription: 'DatabaseAuth=iam needs DatabaseResourceId: rights are granted by it',
      },
    ],
  },
};

const METADATA = {
  // The paths of what is to be uploaded are for `sam package`.
  'cfn-lint': { config: { ignore_checks: ['W3002'] } },
  'AWS::CloudFormation::Interface': {
    ParameterGroups: Object.entries(GROUPS).map(([group, members]) => ({
      Label: { default: group },
      Parameters: Object.keys(members),
    })),
  },
};

/** A dashboard's body as text, whose parts may be behind conditions. */
export function dashboards(resource: any): any {
  const body = resource.Properties?.DashboardBody?.[JSON_TEXT];
  if (!body) return resource;
  return { ...resource, Properties: { ...resource.Properties, DashboardBody: joined(json(body, 0)) } };
}

/** A text, and what stands in it by a condition. */
type Part = string | { readonly condition: string; readonly on: Part[]; readonly off: Part[] };

/** JSON, a widget a line. */
function json(value: any, depth: number): Part[] {
  if (!(value instanceof Object)) return [JSON.stringify(value)];
  if ('Ref' in value) return [`"\${${value.Ref}}"`];
  if ('Fn::GetAtt' in value) return [`"\${${value['Fn::GetAtt'].join('.')}}"`];
  if ('Fn::Sub' in value) return [JSON.stringify(value['Fn::Sub'])];
  if ('Fn::If' in value) {
    const [condition, on, off] = value['Fn::If'];
    return [{ condition, on: json(on, depth), off: json(off, depth) }];
  }
  const isList = Array.isArray(value);
  const items: [string, any][] = Object.entries(value);
  const isOptional = (item: any) => item?.['Fn::If']?.[2].Ref === 'AWS::NoValue';
  const first = items.findIndex(([, item]) => !isOptional(item));
  if (first < 0 && items.length > 0) throw new Error('a list of a dashboard could be empty');
  const parts = items.flatMap(([key, item], index): Part[] => {
    const before = (index > first ? ',' : '') + (isList && depth === 1 ? '\n' : '');
    const named = before + (isList ? '' : `${JSON.stringify(key)}:`);
    const after = index < first ? ',' : '';
    if (!isOptional(item)) return [named, ...json(item, depth + 1), after];
    const [condition, on] = item['Fn::If'];
    return [{ condition, on: [named, ...json(on, depth + 1), after], off: [''] }];
  });
  return [isList ? '[' : '{', ...parts, isList ? ']' : '}'];
}

/** Texts with references in them, joined. */
function joined(parts: Part[]): any {
  const made: any[] = [];
  for (const part of parts) {
    if (typeof part !== 'string')
      made.push({ 'Fn::If': [part.condition, joined(part.on), joined(part.off)] });
    else if (typeof made.at(-1) === 'string') made.push(made.pop() + part);
    else if (part !== '') made.push(part);
  }
  const all = made.map((one) => (typeof one === 'string' && one.includes('${') ? { 'Fn::Sub': one } : one));
  return all.length > 1 ? { 'Fn::Join': ['', all] } : (all[0] ?? '');
}

/** The template that git keeps. */
export const TEMPLATE = path.join(__dirname, 'template.yaml');

if (require.main === module) fs.writeFileSync(TEMPLATE, render(make()));

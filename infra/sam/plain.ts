/** Rewrites what CDK synthesized into what a person would write: plain names, local paths, no framework, no bookkeeping. */
import * as fs from 'node:fs';
import * as path_ from 'node:path';
import { PARAMETERS } from './parameters';
import { CONSTRUCT, STACK_NAME, Synthesized } from './stack';

/* eslint-disable @typescript-eslint/no-explicit-any */
export interface Resource {
  Type: string;
  /** The concept that it is part of, and where it stands among the others. */
  path?: string[];
  Condition?: string;
  DependsOn?: string[];
  DeletionPolicy?: string;
  UpdateReplacePolicy?: string;
  Properties: any;
}
export type Resources = Record<string, Resource>;
export interface Plain {
  readonly resources: Resources;
  readonly outputs: Record<string, any>;
}

/** The one function that invokes what a custom resource names, and answers CloudFormation. */
const CUSTOM_RESOURCES = 'CustomResources';

/** What CDK makes of a construct's path, as part of a name: its plain name is in it. */
const UNIQUE_ID = new RegExp(
  `${STACK_NAME.replaceAll('-', '')}(?:${CONSTRUCT})?(\\w+?)[0-9A-F]{8}(?![0-9A-F])`,
  'g',
);

/** The key of what is an object here, and a text of JSON in the template. */
export const JSON_TEXT = 'JSON';

/** Rewrites a template. Stand-ins become references to the parameters, if there are any; other values stay. */
export function plain({ template, builds }: Synthesized, hasStandIns: boolean): Plain {
  const resources: Resources = structuredClone(template.Resources);
  for (const resource of Object.values(resources)) localCode(resource, builds);
  const names = plainNames(resources);
  answerDirectly(resources, names);
  for (const program of Object.values(builds)) buildOf(program, resources, builds);
  const outputs = structuredClone(template.Outputs ?? {});
  const rewrite = rewriter(names, builds, hasStandIns);
  const made: Plain = { resources: {}, outputs: {} };
  for (const [id, { path, ...resource }] of Object.entries(resources))
    made.resources[names.get(id) ?? id] = { ...rewrite(resource), path };
  for (const [id, output] of Object.entries(outputs)) made.outputs[outputName(id)] = rewrite(output);
  foldPolicies(made.resources);
  for (const resource of Object.values(made.resources)) tidy(resource);
  reduceDependencies(made.resources);
  return made;
}

/** Where `sam package` finds what is to be uploaded. */
function localCode(resource: Resource & { Metadata?: any }, builds: Record<string, string>): void {
  const asset: string | undefined = resource.Metadata?.['aws:asset:path'];
  const program = asset && Object.values(builds).find((name) => asset.endsWith(`/${name}`));
  if (program) resource.Properties.Code = `../../dist/lambda/${program}`;
  if (resource.Type === 'AWS::Lambda::LayerVersion') resource.Properties.Content = './layer';
  resource.path = resource.Metadata?.['aws:cdk:path']?.split('/').slice(1);
  delete resource.Metadata;
}

/** The construct path without what says nothing, and without the hashes in it. */
function plainName(path: string[]): string {
  const isSaid = (part: string, index: number) =>
    part !== CONSTRUCT && !(index === path.length - 1 && ['Resource', 'Default'].includes(part));
  return path
    .filter(isSaid)
    .map((part) => (part.startsWith('AllowEventRule') ? 'Permission' : part))
    .map((part) => (part.startsWith('from ') ? 'Ingress' : part.startsWith('to ') ? 'Egress' : part))
    .join('')
    .replace(/[^A-Za-z0-9]/g, '');
}

const outputName = (id: string) => id.replace(new RegExp(`^${CONSTRUCT}(\\w+?)[0-9A-F]{8}$`), '$1');

/** The plain name of each resource. */
function plainNames(resources: Resources): Map<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  for (const [id, { path }] of Object.entries(resources)) {
    const name = plainName(path ?? [id]);
    let free = name;
    for (let next = 2; taken.has(free); next += 1) free = `${name}${next}`;
    taken.add(free);
    names.set(id, free);
  }
  return names;
}

/**
 * Takes CDK's framework for custom resources away. Each custom resource names the function that it asks, and a policy lets
 * the one function of the template invoke that one.
 */
function answerDirectly(resources: Resources, names: Map<string, string>): void {
  const gone = new Set<string>();
  const asked = new Map<string, any>();
  let logOf: any;
  for (const [id, { Properties }] of Object.entries(resources)) {
    const arn = Properties?.Environment?.Variables?.USER_ON_EVENT_FUNCTION_ARN;
    if (arn === undefined) continue;
    asked.set(id, arn);
    const role = Properties.Role['Fn::GetAtt'][0];
    const log: string = Properties.LoggingConfig.LogGroup.Ref;
    logOf = resources[log]!.Properties;
    for (const part of [id, role, log]) gone.add(part);
    for (const [policy, { Type, Properties: held }] of Object.entries(resources)) {
      if (Type === 'AWS::IAM::Policy' && held.Roles.every((one: any) => one.Ref === role)) gone.add(policy);
    }
  }
  for (const [id, resource] of Object.entries(resources)) {
    const arn = asked.get(resource.Properties?.ServiceToken?.['Fn::GetAtt']?.[0]);
    if (arn === undefined) continue;
    const policy = `${names.get(id)}Invocation`;
    resources[policy] = {
      Type: 'AWS::IAM::Policy',
      path: [CONSTRUCT, CUSTOM_RESOURCES, policy],
      Properties: {
        PolicyDocument: {
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Action: 'lambda:InvokeFunction', Resource: arn }],
        },
        Roles: [{ Ref: `${CUSTOM_RESOURCES}Role` }],
      },
    };
    const { ServiceToken: _, ...properties } = resource.Properties;
    const token = { 'Fn::GetAtt': [`${CUSTOM_RESOURCES}Function`, 'Arn'] };
    resource.Properties = { ServiceToken: token, ServiceTimeout: '900', AskedFunction: arn, ...properties };
    resource.DependsOn = [...(resource.DependsOn ?? []), policy];
  }
  for (const id of gone) delete resources[id];
  if (asked.size > 0) Object.assign(resources, customResources(logOf));
}

/** The function that invokes what a custom resource names, and answers CloudFormation. */
function customResources(logOf: any): Resources {
  const [log, role] = [`${CUSTOM_RESOURCES}Log`, `${CUSTOM_RESOURCES}Role`];
  const arnOf = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] });
  const path = (name: string) => [CONSTRUCT, CUSTOM_RESOURCES, name];
  const lambdaOnly = [
    { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } },
  ];
  const writeLog = [
    { Effect: 'Allow', Action: ['logs:CreateLogStream', 'logs:PutLogEvents'], Resource: arnOf(log) },
  ];
  return {
    [`${CUSTOM_RESOURCES}Function`]: {
      Type: 'AWS::Lambda::Function',
      path: path('Function'),
      Properties: {
        Description: 'Invokes the function that a custom resource names, and answers CloudFormation',
        Code: { ZipFile: fs.readFileSync(path_.join(__dirname, 'custom_resources.py'), 'utf8') },
        Handler: 'index.handler',
        Runtime: 'python3.13',
        Timeout: 900,
        MemorySize: 128,
        LoggingConfig: { LogGroup: { Ref: log } },
        Role: arnOf(role),
      },
    },
    [role]: {
      Type: 'AWS::IAM::Role',
      path: path('Role'),
      Properties: {
        AssumeRolePolicyDocument: { Version: '2012-10-17', Statement: lambdaOnly },
        Policies: [{ PolicyName: 'Log', PolicyDocument: { Version: '2012-10-17', Statement: writeLog } }],
      },
    },
    [log]: {
      Type: 'AWS::Logs::LogGroup',
      path: path('Log'),
      Properties: logOf,
    },
  };
}

/** What changes its name with a program, where a custom resource is to be asked again for each of its builds. */
function buildOf(program: string, resources: Resources, builds: Record<string, string>): void {
  const fingerprint = Object.keys(builds).find((one) => builds[one] === program)!;
  if (!JSON.stringify(resources).includes(fingerprint)) return;
  resources[buildName(program)] = {
    Type: 'AWS::Lambda::LayerVersion',
    path: [CONSTRUCT, CUSTOM_RESOURCES, buildName(program)],
    Properties: {
      Description: 'Is no layer of any function: its version says which build is deployed',
      Content: `../../dist/lambda/${program}`,
    },
  };
}

const buildName = (program: string) =>
  program.replace(/^user-sync-/, '').replace(/^./, (first) => first.toUpperCase()) + 'Build';

/** Writes references by plain names, joined texts as `Fn::Sub`, and parameters for their stand-ins. */
function rewriter(names: Map<string, string>, builds: Record<string, string>, hasStandIns: boolean) {
  const name = (id: string) => names.get(id) ?? id;
  const standIns = hasStandIns ? Object.entries(PARAMETERS) : [];
  const numbers = new Map(
    standIns.flatMap(([id, { standIn }]) => (typeof standIn === 'number' ? [[standIn, id]] : [])),
  );
  const lists = new Map(
    standIns.flatMap(([id, { standIn }]) => (Array.isArray(standIn) ? [[JSON.stringify(standIn), id]] : [])),
  );
  const texts = standIns.filter(([, { standIn, allowed }]) => typeof standIn === 'string' && !allowed);
  const substituted = (text: string): string => {
    let made = text.replace(UNIQUE_ID, '$1').replaceAll(STACK_NAME, '${AWS::StackName}');
    for (const [id, { standIn }] of texts) made = made.replaceAll(standIn as string, `\${${id}}`);
    for (const [number, id] of numbers)
      made = made.replace(new RegExp(`(?<![\\w.-])${number}(?![\\w.-])`, 'g'), `\${${id}}`);
    for (const [fingerprint, program] of Object.entries(builds))
      made = made.replaceAll(fingerprint, `\${${buildName(program)}}`);
    return made;
  };
  const rewrite = (value: any): any => {
    if (typeof value === 'string') {
      const made = substituted(value);
      return made === value || !made.includes('${') ? made : sub(made);
    }
    if (typeof value === 'number') return numbers.has(value) ? { Ref: numbers.get(value) } : value;
    if (Array.isArray(value)) {
      const list = lists.get(JSON.stringify(value));
      return list === undefined ? value.map(rewrite) : { Ref: list };
    }
    if (!(value instanceof Object)) return value;
    if ('Ref' in value) return { Ref: name(value.Ref) };
    if ('Fn::GetAtt' in value)
      return { 'Fn::GetAtt': [name(value['Fn::GetAtt'][0]), value['Fn::GetAtt'][1]] };
    const joined = value['Fn::Join'];
    if (joined?.[0] === '') {
      const parts = joined[1].map((part: any) =>
        typeof part === 'string' ? substituted(part) : inText(rewrite(part)),
      );
      return withParts(parts);
    }
    const renamed = Object.entries(value).map(([key, inner]) => [
      key,
      key === 'DependsOn' ? (inner as string[]).map(name) : rewrite(inner),
    ]);
    return Object.fromEntries(renamed);
  };
  return rewrite;
}

/** A reference as it stands in a text. */
function inText(value: any): any {
  if ('Ref' in value) return `\${${value.Ref}}`;
  if ('Fn::GetAtt' in value) return `\${${value['Fn::GetAtt'].join('.')}}`;
  return typeof value['Fn::Sub'] === 'string' ? value['Fn::Sub'] : value;
}

/** Texts and functions, joined; the functions get names. */
function withParts(parts: any[]): any {
  const named = new Map<string, any>();
  const texts = parts.map((part) => {
    if (typeof part === 'string') return part;
    const name = `Part${named.size + 1}`;
    named.set(name, part);
    return `\${${name}}`;
  });
  return named.size === 0 ? sub(texts.join('')) : { 'Fn::Sub': [texts.join(''), Object.fromEntries(named)] };
}

/** A text with references, or the reference that it is. */
function sub(text: string): any {
  const [, only] = /^\$\{([\w:.]+)\}$/.exec(text) ?? [];
  if (only === undefined) return { 'Fn::Sub': text };
  const [id, attribute] = only.split('.');
  return attribute === undefined ? { Ref: id } : { 'Fn::GetAtt': [id, attribute] };
}

/** What a resource refers to. */
function references({ Properties }: Resource, all: Resources): Set<string> {
  const text = JSON.stringify(Properties ?? {});
  const found = [...text.matchAll(/"Ref":"(\w+)"|"Fn::GetAtt":\["(\w+)"|\$\{(\w+)(?:\.\w+)?\}/g)];
  return new Set(
    found.map(([, ref, attribute, inside]) => (ref ?? attribute ?? inside)!).filter((id) => id in all),
  );
}

/** All that is made before a resource is. */
function before(ids: Iterable<string>, all: Resources, seen = new Set<string>()): Set<string> {
  for (const id of ids) {
    if (seen.has(id) || !all[id]) continue;
    seen.add(id);
    before([...references(all[id], all), ...(all[id].DependsOn ?? [])], all, seen);
  }
  return seen;
}

/**
 * Writes a role's policy into the role, unless the policy waits for what waits for the role. Not what lets a custom resource
 * be asked: where its condition ends, it is asked once more, to be deleted, after all roles were updated.
 */
function foldPolicies(resources: Resources): void {
  for (const [id, policy] of Object.entries(resources)) {
    if (policy.Type !== 'AWS::IAM::Policy') continue;
    const isAsked = policy.path![1] === CUSTOM_RESOURCES;
    delete policy.Properties.PolicyName;
    const PolicyName = policy.path!.filter((part) => part !== 'Resource').at(-1)!;
    const role: string = policy.Properties.Roles[0].Ref;
    const needed = references({ ...policy, Properties: policy.Properties.PolicyDocument }, resources);
    if (
      before([...needed, ...(policy.DependsOn ?? []).filter((one) => one !== role)], resources).has(role) ||
      isAsked
    ) {
      policy.Properties = { PolicyName, ...policy.Properties };
      continue;
    }
    const { PolicyDocument } = policy.Properties;
    const { Policies = [], ...properties } = resources[role]!.Properties;
    resources[role]!.Properties = { ...properties, Policies: [...Policies, { PolicyName, PolicyDocument }] };
    delete resources[id];
    for (const other of Object.values(resources))
      if (other.DependsOn?.includes(id))
        other.DependsOn = other.DependsOn.map((one) => (one === id ? role : one));
  }
}

/** Leaves out what CloudFormation does anyway. */
function tidy(resource: Resource): void {
  if (resource.DeletionPolicy === 'Delete') delete resource.DeletionPolicy;
  if (resource.UpdateReplacePolicy === 'Delete') delete resource.UpdateReplacePolicy;
  const body = resource.Properties?.DashboardBody;
  if (body) resource.Properties.DashboardBody = { [JSON_TEXT]: JSON.parse(body['Fn::Sub'] ?? body) };
  const { Description, ...properties } = ordered(resource.Properties ?? {});
  resource.Properties = Description === undefined ? properties : { Description, ...properties };
}

/** Statements in the order in which they are read. */
function ordered(value: any): any {
  if (Array.isArray(value)) return value.map(ordered);
  if (!(value instanceof Object)) return value;
  const first = 'Statement' in value ? ['Version'] : 'Effect' in value ? STATEMENT : [];
  const keys = [...first.filter((key) => key in value), ...Object.keys(value)];
  return Object.fromEntries(keys.map((key) => [key, ordered(value[key])]));
}

const STATEMENT = ['Sid', 'Effect', 'Principal', 'Action', 'Resource', 'Condition'];

/** Leaves out what a resource waits for by another one that it waits for. */
export function reduceDependencies(resources: Resources): void {
  for (const [id, resource] of Object.entries(resources)) {
    let left = [...new Set(resource.DependsOn ?? [])].filter((one) => one in resources && one !== id).sort();
    for (const one of [...left]) {
      const others = [...references(resource, resources), ...left.filter((other) => other !== one)];
      if (before(others, resources).has(one)) left = left.filter((other) => other !== one);
    }
    if (left.length > 0) resource.DependsOn = left;
    else delete resource.DependsOn;
  }
}

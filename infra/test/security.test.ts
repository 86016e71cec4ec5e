/** Who may send to the queues, on which everything rests: docs/security.md has each with the reason. */
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as iam from 'aws-cdk-lib/aws-iam';
import { dist, INFRA } from './support';
import { asList, Questions, Statement } from './template';
import { compositions, sync, variants } from './variants';

process.env.CDK_VALIDATION = 'false';

/** By the paths of their roles within the construct, or the trigger. */
const SENDERS = {
  queue: [
    'Trigger/FunctionRole',
    'Lifecycle/FunctionRole',
    'DeploymentCheck/FunctionRole',
    'CommandTask/TaskDefinition/TaskRole',
    'Console/Task/TaskRole',
  ],
  contexts: ['Contexts/Records/FunctionRole', 'CommandTask/TaskDefinition/TaskRole', 'Console/Task/TaskRole'],
};

const code = dist();
const all = new Map<string, Questions>();

before(() => {
  const app = new App({ context: { 'aws:cdk:enable-path-metadata': true } });
  const made = [...variants(app, code), ...compositions(app, code)] as [string, Record<string, unknown>][];
  for (const [name, parts] of made)
    for (const [part, of] of Object.entries(parts))
      if (of instanceof Stack) all.set(`${name} ${part}`, new Questions(Template.fromStack(of)));
});

after(() => fs.rmSync(code, { recursive: true }));

const sends = ({ Effect, Action }: Statement) =>
  Effect === 'Allow' && asList(Action).some((action) => /^(sqs:(SendMessage|\*)|\*)$/.test(action));

/** Who may send to a queue whose logical id is as said: roles by their paths, without the stack and the construct. */
function senders(questions: Questions, queue: RegExp): string[] {
  const found = new Set<string>();
  for (const { Type, Properties } of Object.values(questions.resources)) {
    if (Type !== 'AWS::IAM::Policy') continue;
    const statements: Statement[] = Properties.PolicyDocument.Statement.filter(sends);
    if (!statements.some(({ Resource }) => queue.test(JSON.stringify(Resource)))) continue;
    for (const { Ref } of Properties.Roles) found.add(path(questions, Ref));
  }
  return [...found].sort();
}

function path(questions: Questions, id: string): string {
  const resource = questions.resources[id] as unknown as { Metadata: Record<string, string> };
  return resource.Metadata['aws:cdk:path']!.replace(/\/Resource$/, '').replace(/^[^/]+\/(Sync\/)?/, '');
}

const QUEUE = /TriggerQueue[0-9A-F]{8}|:user-sync-queue"/;
const CONTEXTS = /ContextsQueue[0-9A-F]{8}/;

describe('only those may send who are on the list', () => {
  test('to the queue of sign-ups and logins', () => {
    const seen = new Set<string>();
    for (const [name, questions] of all)
      for (const sender of senders(questions, QUEUE)) {
        seen.add(sender);
        assert.ok(SENDERS.queue.includes(sender), `${name}: ${sender}`);
      }
    // Each is there in some variant, so that none was overlooked.
    assert.deepEqual([...seen].sort(), [...SENDERS.queue].sort());
  });

  test('to the queue of contexts', () => {
    const seen = new Set(
      [...all].flatMap(([name, questions]) => {
        const found = senders(questions, CONTEXTS);
        for (const sender of found) assert.ok(SENDERS.contexts.includes(sender), `${name}: ${sender}`);
        return found;
      }),
    );
    assert.ok(seen.has(SENDERS.contexts[0]!));
  });

  test('by no policy of a queue: those deny whoever does not come by TLS, or let one service in for one resource', () => {
    for (const [name, questions] of all)
      for (const [id, { Type, Properties }] of Object.entries(questions.resources)) {
        if (Type !== 'AWS::SQS::QueuePolicy') continue;
        for (const { Effect, Condition, Principal } of Properties.PolicyDocument.Statement) {
          if (Effect === 'Deny')
            assert.deepEqual(Condition, { Bool: { 'aws:SecureTransport': 'false' } }, `${name}: ${id}`);
          else {
            assert.deepEqual(Object.keys(Principal), ['Service'], `${name}: ${id}`);
            assert.match(JSON.stringify(Condition), /"aws:Source(Arn|Account)"/, `${name}: ${id}`);
            assert.doesNotMatch(id, /TriggerQueue|ContextsQueue|DeadLetterQueue/, name);
          }
        }
      }
  });

  test('and whoever is given a right to', () => {
    const stack = new Stack(new App({ context: { 'aws:cdk:enable-path-metadata': true } }), 'Granted');
    const made = sync(stack, code, { contextQueue: true });
    const role = (id: string) =>
      new iam.Role(stack, id, { assumedBy: new iam.ServicePrincipal('ecs-tasks.amazonaws.com') });
    made.grantSendContext(role('Backend'));
    made.grantReplay(role('Replays'));
    made.grantRedrive(role('Redrives'));
    made.grantOperate(role('Operates'));
    const questions = new Questions(Template.fromStack(stack));
    const others = (queue: RegExp) => senders(questions, queue).filter((name) => !name.includes('/'));
    assert.deepEqual(others(QUEUE), ['Operates', 'Redrives', 'Replays']);
    assert.deepEqual(others(CONTEXTS), ['Backend', 'Operates', 'Redrives', 'Replays']);
  });
});

test('a role of another account is refused, since no policy of a queue would let it in', () => {
  const env = { account: '123456789012', region: 'eu-west-1' };
  const stack = new Stack(new App(), 'Granted', { env });
  const made = sync(stack, code, { contextQueue: true });
  const backend = iam.Role.fromRoleArn(stack, 'Backend', 'arn:aws:iam::210987654321:role/backend');
  assert.throws(
    () => made.grantSendContext(backend),
    /the grantee is of the account 210987654321, and the queue of 123456789012, .* grant to a role of 123456789012/,
  );
});

test('docs/security.md names each of them', () => {
  const page = fs.readFileSync(`${INFRA}/../docs/security.md`, 'utf8');
  for (const word of [
    'trigger',
    'lifecycle function',
    'deployment check',
    'command task',
    'records function',
    "console's role",
  ])
    assert.ok(page.includes(word), word);
  for (const right of ['grantSendContext', 'grantReplay', 'grantRedrive', 'grantOperate'])
    assert.ok(page.includes(right), right);
});

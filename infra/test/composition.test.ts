/** Constructs that compose: stacks that wait for each other in one direction only, with the rights that they need. */
import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { App, Duration, RemovalPolicy, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import * as cxapi from 'aws-cdk-lib/cx-api';
import {
  CognitoUserSyncProps,
  DatabaseAuth,
  LoginContext,
  PoolTriggers,
  UserSyncCompute,
  UserSyncTrigger,
} from '../lib';
import { dist } from './support';
import { asList, Questions } from './template';
import {
  compositions,
  databaseStacks,
  keyStacks,
  sharedDatabase,
  sync,
  threeStacks,
  variants,
} from './variants';

process.env.CDK_VALIDATION = 'false';

const code = dist();

/** Whatever CDK recommends to new apps, and the flag that takes statements out of a role's own policy. */
const FLAGS = {
  ...cxapi.CURRENTLY_RECOMMENDED_FLAGS,
  [cxapi.LAMBDA_CREATE_NEW_POLICIES_WITH_ADDTOROLEPOLICY]: true,
};

/** Every stack there is, by its name. */
const all = new Map<string, Questions>();

before(() => {
  for (const [suffix, context] of [
    ['', {}],
    [' with all flags', FLAGS],
  ] as const) {
    const app = new App({ context });
    const made = [...variants(app, code), ...compositions(app, code)] as [string, Record<string, unknown>][];
    for (const [name, parts] of made)
      for (const [part, of] of Object.entries(parts))
        if (of instanceof Stack)
          all.set(
            `${name}${part === 'stack' ? '' : ` ${part}`}${suffix}`,
            new Questions(Template.fromStack(of)),
          );
  }
});

after(() => fs.rmSync(code, { recursive: true }));

const policies = (questions: Questions) => questions.ids('AWS::IAM::Policy', '');
const functions = (questions: Questions) => questions.ids('AWS::Lambda::Function', '');

/** What grants to a function's role; a denial takes nothing away when it is gone. */
function grants(questions: Questions, id: string): string[] {
  const role = questions.resources[id]!.Properties.Role?.['Fn::GetAtt']?.[0];
  return policies(questions).filter((policy) => {
    const { Roles, PolicyDocument } = questions.resources[policy]!.Properties;
    const isGrant = PolicyDocument.Statement.some(({ Effect }: { Effect: string }) => Effect === 'Allow');
    return isGrant && Roles.some(({ Ref }: { Ref?: string }) => Ref === role);
  });
}

/** The functions that a custom resource runs: the framework's, and ours behind it. */
function behind(questions: Questions, resource: string): string[] {
  const token = questions.resources[resource]!.Properties.ServiceToken['Fn::GetAtt'][0];
  const handler = questions.resources[token]!.Properties.Environment.Variables.USER_ON_EVENT_FUNCTION_ARN;
  return [token, handler['Fn::GetAtt'][0]];
}

describe('rights', () => {
  test('are there before a function, and stay until after what it did is deleted', () => {
    let resources = 0;
    for (const [name, questions] of all) {
      for (const id of functions(questions).filter((of) => /^Sync|^Trigger/.test(of)))
        for (const grant of grants(questions, id))
          assert.ok(questions.waitsFor(id).has(grant), `${name}: ${id} may run before ${grant}`);
      const custom = Object.keys(questions.resources).filter((id) =>
        questions.resources[id]!.Type.startsWith('Custom::UserSync'),
      );
      for (const id of custom)
        for (const target of behind(questions, id))
          for (const grant of grants(questions, target)) {
            assert.ok(questions.waitsFor(id).has(grant), `${name}: ${id} may outlive ${grant}`);
            resources += 1;
          }
    }
    assert.ok(resources > 100, `${resources}`);
  });

  test('are in the role’s own policy, whatever the flags are', () => {
    for (const [name, questions] of all)
      for (const id of policies(questions).filter((of) => /^Sync|^Trigger/.test(of)))
        assert.match(id, /DefaultPolicy|NoNetworkInterfaces/, `${name}: ${id}`);
  });

  test('to ask Cognito are nobody’s in the VPC', () => {
    let asked = 0;
    for (const [name, questions] of all) {
      for (const id of functions(questions)) {
        const { VpcConfig, Role } = questions.resources[id]!.Properties;
        const actions = Role?.['Fn::GetAtt'] ? questions.allowed(Role['Fn::GetAtt'][0]) : [];
        const cognitos = actions.filter((action) => action.startsWith('cognito-idp:'));
        if (VpcConfig) assert.deepEqual(cognitos, [], `${name}: ${id}`);
        asked += cognitos.length;
      }
      for (const id of questions.ids('AWS::EC2::VPCEndpoint', ''))
        assert.ok(!JSON.stringify(questions.resources[id]).includes('cognito'), `${name}: ${id}`);
    }
    assert.ok(asked > 0);
  });

  /** Each service that may use a resource may use it for this account's own resources only. */
  test('of services are for this account’s own resources', () => {
    const isOurs = (condition: object = {}) =>
      /"aws:SourceArn"|"aws:SourceAccount"|"kms:EncryptionContext:aws:logs:arn"/.test(
        JSON.stringify(condition),
      );
    let seen = 0;
    for (const [name, questions] of all) {
      for (const [id, { Type, Properties }] of Object.entries(questions.resources)) {
        if (!/^(Sync|Trigger|Key)/.test(id)) continue;
        if (Type === 'AWS::Lambda::Permission') {
          assert.ok(Properties.SourceArn ?? Properties.SourceAccount, `${name}: ${id}`);
          seen += 1;
        }
        const document =
          Properties?.KeyPolicy ?? (Type.endsWith('::QueuePolicy') && Properties.PolicyDocument);
        for (const statement of document ? document.Statement : []) {
          if (statement.Effect !== 'Allow' || !statement.Principal?.Service) continue;
          assert.ok(isOurs(statement.Condition), `${name}: ${id}: ${JSON.stringify(statement)}`);
          seen += 1;
        }
      }
    }
    assert.ok(seen > 100, `${seen}`);
  });

  test('of the setter are exposed, as a role', () => {
    const stack = new Stack(new App(), 'Exposed');
    const { poolTriggersRole } = sync(stack, code);
    poolTriggersRole!.addToPrincipalPolicy(
      new iam.PolicyStatement({
        actions: ['ses:VerifyEmailIdentity'],
        resources: ['arn:aws:ses:::identity/a'],
      }),
    );
    assert.ok(
      new Questions(Template.fromStack(stack))
        .allowed('SyncPoolTriggersFunctionRole')
        .includes('ses:VerifyEmailIdentity'),
    );
    const byHand = sync(new Stack(new App(), 'ByHand'), code, { triggers: PoolTriggers.outputOnly() });
    assert.equal(byHand.poolTriggersRole, undefined);
  });

  test('to ask for rows are those of the drift check and the deployment check', () => {
    const stack = new Stack(new App(), 'Asks');
    const role = new iam.Role(stack, 'OnCall', { assumedBy: new iam.AccountRootPrincipal() });
    sync(stack, code, { deploymentCheck: true, commandTask: {} }).grantOperate(role);
    const questions = new Questions(Template.fromStack(stack));
    const askers = policies(questions).filter((id) =>
      questions.resources[id]!.Properties.PolicyDocument.Statement.some(
        ({ Resource }: { Resource: unknown }) => JSON.stringify(Resource).includes('"SyncRowsFunction'),
      ),
    );
    assert.deepEqual(askers.map((id) => id.replace(/FunctionRoleDefaultPolicy\w+$/, '')).sort(), [
      'SyncDeploymentCheck',
      'SyncDrift',
    ]);
  });

  test('of tasks are there before a service, and for this account’s own tasks only', () => {
    let tasks = 0;
    for (const [name, questions] of all) {
      for (const id of questions.ids('AWS::ECS::Service', ''))
        for (const policy of policies(questions).filter((of) => /^SyncConsumerTask/.test(of)))
          assert.ok(questions.waitsFor(id).has(policy), `${name}: ${id} may run before ${policy}`);
      for (const id of questions
        .ids('AWS::IAM::Role', '')
        .filter((role) => /TaskRole[0-9A-F]{8}$/.test(role))) {
        const [{ Principal, Condition }, ...others] =
          questions.resources[id]!.Properties.AssumeRolePolicyDocument.Statement;
        assert.deepEqual([Principal, others], [{ Service: 'ecs-tasks.amazonaws.com' }, []], `${name}: ${id}`);
        assert.deepEqual(Condition.StringEquals, { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } });
        assert.match(JSON.stringify(Condition.ArnLike['aws:SourceArn']), /":ecs:",\{"Ref":"AWS::Region"/);
        tasks += 1;
      }
    }
    assert.ok(tasks > 5, `${tasks}`);
  });

  test('of whoever operates are those of each command, and no login', () => {
    const stack = new Stack(new App(), 'Operate');
    const role = new iam.Role(stack, 'OnCall', { assumedBy: new iam.AccountRootPrincipal() });
    const triggers = PoolTriggers.attach({ keep: true });
    sync(stack, code, { triggers, loginContext: [LoginContext.cloudTrail()] }).grantOperate(role);
    const questions = new Questions(Template.fromStack(stack));
    const allowed = questions.allowed('OnCall');
    const on = (action: string) =>
      questions
        .statements('OnCall')
        .filter(({ Action }) => asList(Action).includes(action))
        .flatMap(({ Resource }) => asList(Resource))
        .map((arn) => arn['Fn::GetAtt'][0].replace(/[0-9A-F]{8}$/, ''))
        .sort();
    // docs/runbook.md empties these, and moves the dead letters of those back.
    assert.deepEqual(on('sqs:PurgeQueue'), ['SyncContextsRecordsFailures', 'SyncLifecycleFailures']);
    assert.deepEqual(on('sqs:StartMessageMoveTask'), [
      'SyncContextsDeadLetterQueue',
      'SyncContextsRecordsDeadLetterQueue',
      'SyncTriggerDeadLetterQueue',
    ]);
    for (const action of [
      'cloudtrail:LookupEvents',
      'cognito-idp:ListUsers',
      'lambda:InvokeFunction',
      'logs:FilterLogEvents',
      'sqs:StartMessageMoveTask',
      'ssm:PutParameter',
    ])
      assert.ok(allowed.includes(action), action);
    assert.deepEqual(
      allowed.filter((action) => /^(rds-db|secretsmanager):|:(Update|Set|Delete|Admin)/.test(action)),
      ['sqs:DeleteMessage'],
    );
  });
});

describe('three stacks', () => {
  const of = (part: string) => all.get(`ThreeStacks${part}`)!;

  test('wait for each other in one direction: the trigger, the pool, the rest', () => {
    const app = new App();
    const { trigger, pool, stack } = threeStacks(app, code);
    app.synth();
    const before = (one: Stack) => one.dependencies.map(({ stackName }) => stackName).sort();
    assert.deepEqual(before(trigger), []);
    assert.deepEqual(before(pool), ['ThreeTrigger']);
    assert.deepEqual(before(stack), ['ThreePool', 'ThreeTrigger']);
  });

  test('have the function as both triggers, which the pools of this account may call before', () => {
    const { LambdaConfig } = of(' pool').properties('AWS::Cognito::UserPool', 'Pool');
    assert.match(
      JSON.stringify(LambdaConfig.PostConfirmation),
      /ThreeTrigger:ExportsOutput.*TriggerFunction/,
    );
    assert.deepEqual(LambdaConfig.PostAuthentication, LambdaConfig.PostConfirmation);
    const permission = of(' trigger').properties('AWS::Lambda::Permission', 'TriggerPermission');
    assert.deepEqual(permission.SourceAccount, { Ref: 'AWS::AccountId' });
    assert.match(JSON.stringify(permission.SourceArn), /:userpool\/\*"/);
    for (const part of [' pool', '']) assert.deepEqual(of(part).ids('AWS::Lambda::Permission', 'Pool'), []);
  });

  test('leave the triggers to the pool’s own template when the rest is taken away', () => {
    const resource = of('').one('Custom::UserSyncPoolTriggers', 'Sync');
    assert.deepEqual([resource.DeletionPolicy, resource.UpdateReplacePolicy], ['Retain', 'Retain']);
    assert.equal(resource.Properties.Overwrite, 'false');
  });

  test('have no trigger, no queue and no second permission beside the given ones', () => {
    assert.deepEqual(of('').ids('AWS::Lambda::Function', 'SyncTriggerFunction'), []);
    assert.deepEqual(of('').ids('AWS::SQS::Queue', 'SyncTriggerQueue'), []);
    assert.deepEqual(of('').ids('AWS::Lambda::Permission', 'SyncPoolTriggersPermission'), []);
    const { USER_SYNC_QUEUE_URL } = of('').environment('Consumer');
    assert.match(JSON.stringify(USER_SYNC_QUEUE_URL), /ThreeTrigger:ExportsOutput.*TriggerQueue/);
    // The queue's key is the trigger's, and the consumer may use it.
    const uses = of('')
      .allowed('SyncConsumerFunctionRole')
      .filter((action) => action.startsWith('kms:'));
    assert.deepEqual(uses, ['kms:Decrypt', 'kms:GenerateDataKey']);
  });
});

describe('keys and secrets', () => {
  const ofAll = (name: RegExp) => [...all].filter(([stack]) => name.test(stack));

  test('of an earlier stack wait for no later one', () => {
    const app = new App();
    const key = new Stack(app, 'Key');
    const { trigger, pool, stack } = keyStacks(app, code, 'Keyed', key);
    const beside = databaseStacks(app, code);
    app.synth();
    const before = (one: Stack) => one.dependencies.map(({ stackName }) => stackName).sort();
    assert.deepEqual(before(key), []);
    assert.deepEqual(before(trigger), ['Key']);
    assert.deepEqual(before(pool), ['KeyedTrigger']);
    assert.deepEqual(before(stack), ['Key', 'KeyedPool', 'KeyedTrigger']);
    assert.deepEqual(before(beside.database), []);
    assert.deepEqual(before(beside.stack), ['EncryptedDatabase']);
  });

  test('are permitted in the roles, and no policy of a key has a role', () => {
    let policies = 0;
    for (const [name, questions] of all)
      for (const id of questions.ids('AWS::KMS::Key', '')) {
        policies += 1;
        for (const { Principal } of questions.resources[id]!.Properties.KeyPolicy.Statement)
          assert.doesNotMatch(JSON.stringify(Principal), /FunctionRole|TaskRole/, `${name}: ${id}`);
      }
    assert.ok(policies > 5, `${policies}`);
  });

  test('are read by all who have them, who may decrypt by way of Secrets Manager only', () => {
    const viaSecrets = {
      StringEquals: {
        'kms:ViaService': { 'Fn::Join': ['', ['secretsmanager.', { Ref: 'AWS::Region' }, '.amazonaws.com']] },
      },
    };
    const decrypts = (questions: Questions, role: string) =>
      questions
        .statements(role)
        .filter(({ Action, Condition }) => Action === 'kms:Decrypt' && Condition)
        .map(({ Condition, Resource }) => {
          assert.deepEqual(Condition, viaSecrets);
          assert.match(JSON.stringify(Resource), /Key/);
        }).length;
    const roles = ['Schema/Function', 'Consumer/Function', 'Rows/Function'].map(
      (path) => `Sync${path.replace('/', '')}Role`,
    );
    for (const [name, questions] of ofAll(/^(TriggerKey|KeyStack|Key)( with all flags)?$/))
      for (const role of roles) assert.equal(decrypts(questions, role), 1, `${name}: ${role}`);
    for (const [name, questions] of ofAll(/^DatabaseStack( with|$)/)) {
      assert.deepEqual(
        roles.map((role) => decrypts(questions, role)),
        [1, 0, 0],
        name,
      );
    }
    // Without a key of one's own there is nothing to decrypt with.
    for (const role of roles) assert.equal(decrypts(all.get('Secret')!, role), 0, role);
  });
});

describe('a trigger', () => {
  test('in a second Region sends to the first one’s queue, or to one of its own', () => {
    const far = all.get('SecondRegion')!;
    const { USER_SYNC_QUEUE_URL } = far.properties('AWS::Lambda::Function', 'TriggerFunction').Environment
      .Variables;
    assert.match(JSON.stringify(USER_SYNC_QUEUE_URL), /sqs\.eu-west-1\./);
    assert.deepEqual(far.ids('AWS::SQS::Queue', ''), []);
    assert.deepEqual(
      far.statements('TriggerFunctionRole').find(({ Action }) => asList(Action).includes('sqs:SendMessage'))!
        .Resource,
      'arn:aws:sqs:eu-west-1:123456789012:user-sync',
    );
    const permission = far.properties('AWS::Lambda::Permission', 'TriggerPermission');
    assert.equal(
      permission.SourceArn,
      'arn:aws:cognito-idp:us-east-1:123456789012:userpool/eu-west-1_Abc123Def',
    );
    const own = all.get('SecondRegionOwnQueue')!;
    const [queue] = own.ids('AWS::SQS::Queue', 'TriggerQueue');
    assert.deepEqual(own.properties('AWS::Lambda::Function', 'TriggerFunction').Environment.Variables, {
      USER_SYNC_QUEUE_URL: { Ref: queue },
    });
    assert.equal(own.resources[queue!]!.Properties.VisibilityTimeout, 361);
    assert.equal(own.resources[queue!]!.Properties.RedrivePolicy.maxReceiveCount, 1_000);
  });

  test('says by its tag that it is ours, and those who set triggers may read tags', () => {
    for (const [name, questions] of all) {
      for (const id of functions(questions)) {
        const { Tags = [] } = questions.resources[id]!.Properties;
        const isTrigger = /^(Sync)?TriggerFunction/.test(id);
        assert.deepEqual(
          Tags,
          isTrigger ? [{ Key: 'user-sync:program', Value: 'trigger' }] : [],
          `${name}: ${id}`,
        );
      }
    }
    for (const role of ['SyncPoolTriggersFunctionRole', 'SyncTriggerKeeperFunctionRole'])
      assert.ok(all.get('Keep')!.allowed(role).includes('lambda:ListTags'), role);
  });

  test('keeps its log wherever the queues are kept', () => {
    const policy = (removalPolicy?: RemovalPolicy) => {
      const stack = new Stack(new App(), 'Kept');
      new UserSyncTrigger(stack, 'Trigger', { code, removalPolicy });
      const { DeletionPolicy } = new Questions(Template.fromStack(stack)).one(
        'AWS::Logs::LogGroup',
        'TriggerLog',
      );
      return DeletionPolicy;
    };
    assert.equal(policy(), 'Retain');
    assert.equal(policy(RemovalPolicy.RETAIN), 'Retain');
    assert.equal(policy(RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE), 'RetainExceptOnCreate');
    assert.equal(policy(RemovalPolicy.DESTROY), 'Delete');
  });
});

describe('the deployment check', () => {
  test('comes after everything else, and may do no more than send, look and ask', () => {
    const questions = all.get('DeploymentCheck')!;
    const [check] = questions.ids('Custom::UserSyncDeploymentCheck');
    const waits = questions.waitsFor(check!);
    const missing = Object.keys(questions.resources).filter(
      (id) =>
        id.startsWith('Sync') && id !== check && !waits.has(id) && !id.startsWith('SyncDeploymentCheck'),
    );
    assert.deepEqual(missing, []);
    assert.deepEqual(
      questions
        .allowed('SyncDeploymentCheckFunctionRole')
        .filter((action) => !/^logs:(Put|Create)/.test(action)),
      ['lambda:InvokeFunction', 'logs:FilterLogEvents', 'sqs:GetQueueAttributes', 'sqs:SendMessage'],
    );
    const { USER_SYNC_OPERATION, USER_SYNC_CONSUMER_LOG_GROUP } = questions.environment('DeploymentCheck');
    assert.equal(USER_SYNC_OPERATION, 'deployment-check');
    assert.deepEqual(USER_SYNC_CONSUMER_LOG_GROUP, {
      Ref: questions.ids('AWS::Logs::LogGroup', 'SyncConsumerLog')[0],
    });
    assert.equal(questions.function('DeploymentCheck').VpcConfig, undefined);
    assert.ok(questions.resources[check!]!.Properties.Deployment, 'each deployment asks');
    for (const [name, others] of all)
      if (!/^(DeploymentCheck|ThreeStacks|TriggerKey|KeyStack)/.test(name))
        assert.deepEqual(others.ids('Custom::UserSyncDeploymentCheck'), [], name);
  });

  test('is asked again when what a heartbeat goes through has changed, also within one deployment', () => {
    const asked = (changes: Partial<CognitoUserSyncProps>) => {
      const stack = new Stack(new App({ context: { userSyncDeployment: 1 } }), 'Made');
      sync(stack, code, { deploymentCheck: true, ...changes });
      return new Questions(Template.fromStack(stack)).properties('Custom::UserSyncDeploymentCheck', 'Sync');
    };
    assert.deepEqual(asked({}), asked({}));
    for (const changes of [{ databaseName: 'other' }, { schema: 'other' }, { auth: DatabaseAuth.secret() }])
      assert.notDeepEqual(asked(changes), asked({}), JSON.stringify(changes));
    const built = dist();
    fs.writeFileSync(path.join(built, 'lambda', 'user-sync-consumer', 'bootstrap'), 'another build\n');
    assert.notDeepEqual(asked({ code: built }), asked({}));
  });
});

test('a log level and a trace reach every function', () => {
  const questions = all.get('Traced')!;
  const ours = functions(questions).filter((id) => /^Sync\w+Function[0-9A-F]{8}$/.test(id));
  assert.ok(ours.length > 5);
  for (const id of ours) {
    const { Environment, TracingConfig } = questions.resources[id]!.Properties;
    assert.equal(Environment.Variables.USER_SYNC_LOG, 'warn', id);
    assert.deepEqual(TracingConfig, { Mode: 'Active' }, id);
  }
  assert.equal(all.get('ImportedPool')!.environment('Consumer').USER_SYNC_LOG, undefined);
});

describe('what cannot be', () => {
  const refused = (
    make: (stack: Stack) => unknown,
    message: RegExp,
    env?: { account: string; region: string },
  ) => assert.throws(() => make(new Stack(new App(), 'Refused', { env })), message);
  const trigger = (stack: Stack, id = 'Own') => new UserSyncTrigger(stack, id, { code });

  test('a pool of another Region or account is refused by name', () => {
    const env = { account: '123456789012', region: 'us-east-1' };
    refused(
      (stack) => sync(stack, code),
      /userPool is of the region eu-west-1, and the stack of us-east-1: .*env:/,
      env,
    );
    refused(
      (stack) => sync(stack, code),
      /userPool is of the account 123456789012, and the stack of 210987654321/,
      { account: '210987654321', region: 'eu-west-1' },
    );
    refused(
      (stack) =>
        sync(stack, code, {
          userPool: cognito.UserPool.fromUserPoolId(stack, 'ById', 'eu-west-1_Abc123Def'),
        }),
      /userPool is "eu-west-1_Abc123Def": it must be one of us-east-1, .* env: \{ region: 'eu-west-1' \}.*replicas/,
      env,
    );
  });

  test('what a queue of elsewhere has is refused beside it', () => {
    for (const [prop, changes] of Object.entries({
      maxReceiveCount: { maxReceiveCount: 5 },
      visibilityTimeout: { visibilityTimeout: Duration.seconds(400) },
    }))
      refused(
        (stack) =>
          new UserSyncTrigger(stack, 'Own', { code, queue: new sqs.Queue(stack, 'Mine'), ...changes }),
        new RegExp(`${prop} is .*: it must be left out where queue is given`),
      );
  });

  test('what is the trigger’s own is refused beside a trigger, with where to say it', () => {
    for (const changes of [
      { maxReceiveCount: 5 },
      { clientMetadataKeys: { ip: 'a' } },
      { referralCodeAttribute: 'custom:code' },
    ])
      refused(
        (stack) => sync(stack, code, { trigger: trigger(stack), ...changes }),
        new RegExp(
          `${Object.keys(changes)[0]} is .*: it must be left out where a trigger is given: say it to the UserSyncTrigger`,
        ),
      );
    refused((stack) => {
      const chainPostConfirmation = sync(stack, code, { triggers: PoolTriggers.outputOnly() }).migrator!;
      return sync(new Stack(new App(), 'Other'), code, {
        trigger: trigger(stack),
        triggers: PoolTriggers.attach({ chainPostConfirmation }),
      });
    }, /triggers is .*: it must be without one where a trigger is given: chain it with UserSyncTrigger/);
  });

  test('a trigger that sends elsewhere, or hides messages too briefly, is refused', () => {
    refused((stack) => {
      const queue = sqs.Queue.fromQueueArn(stack, 'Far', 'arn:aws:sqs:eu-west-1:123456789012:user-sync');
      return sync(stack, code, { trigger: new UserSyncTrigger(stack, 'Own', { code, queue }) });
    }, /trigger is Refused\/Own, which sends to a queue that was given to it/);
    const compute = UserSyncCompute.lambda({ maxBatchingWindow: Duration.seconds(60) });
    refused(
      (stack) => sync(stack, code, { compute, trigger: trigger(stack) }),
      /trigger hides a message for 361 s, and compute needs 420 s: give UserSyncTrigger visibilityTimeout: Duration\.seconds\(420\)/,
    );
    refused(
      (stack) => new UserSyncTrigger(stack, 'Own', { code, visibilityTimeout: Duration.seconds(30) }),
      /visibilityTimeout is "30 s": it must be whole seconds from 60 to 43200/,
    );
  });

  test('to chain our own function is refused', () => {
    refused((stack) => {
      const chainPostConfirmation = trigger(stack).triggerFunction;
      return sync(stack, code, { triggers: PoolTriggers.attach({ chainPostConfirmation }) });
    }, /chainPostConfirmation is Refused\/Own\/Function: it is the function of a UserSyncTrigger itself/);
    refused((stack) => {
      const chainPostAuthentication = trigger(stack).triggerFunction;
      return new UserSyncTrigger(stack, 'Other', { code, chainPostAuthentication });
    }, /chainPostAuthentication is Refused\/Own\/Function/);
  });

  test('a pool that has a trigger already is not attached to', () => {
    refused((stack) => {
      const postAuthentication = trigger(stack, 'Former').triggerFunction;
      const pool = new cognito.UserPool(stack, 'Pool', { lambdaTriggers: { postAuthentication } });
      trigger(stack).attachTo(pool);
    }, /userPool has a postAuthentication trigger already: .* chainPostAuthentication/);
  });

  test('two deployments of an app with the same tables, or the same roles, are refused', () => {
    const two = (first: object, second: object) => {
      const app = new App();
      const [one, other] = [new Stack(app, 'One'), new Stack(app, 'Other')];
      const database = sharedDatabase(one!);
      sync(one!, code, { database, ...first });
      sync(other!, code, { database, ...second });
    };
    assert.throws(
      () => two({}, {}),
      /schema is "public", where One\/Sync has its tables in the same database/,
    );
    assert.throws(
      () => two({}, { schema: 'other' }),
      /rolePrefix is "user_sync", which One\/Sync has on the same server/,
    );
    assert.throws(
      () => two({}, { databaseName: 'another' }),
      /rolePrefix is "user_sync", which One\/Sync has on the same server/,
    );
    two({}, { schema: 'other', rolePrefix: 'other_sync' });
    // A host that is written down is another server in another account.
    const app = new App();
    for (const account of ['123456789012', '210987654321']) {
      const stack = new Stack(app, `In${account}`, { env: { account, region: 'eu-west-1' } });
      sync(stack, code, { database: sharedDatabase(stack), userPool: new cognito.UserPool(stack, 'Own') });
    }
  });

  test('a pool is that of one trigger, and a trigger is that of one pool', () => {
    const pool = (stack: Stack, id: string) => new cognito.UserPool(stack, id);
    refused((stack) => {
      const one = trigger(stack);
      one.attachTo(pool(stack, 'Pool'));
      one.attachTo(pool(stack, 'Other'));
    }, /userPool is Refused\/Other, and the trigger Refused\/Own is that of Refused\/Pool: make a UserSyncTrigger for each pool/);
    refused((stack) => {
      const both = pool(stack, 'Pool');
      trigger(stack).attachTo(both);
      trigger(stack, 'Second').attachTo(both);
    }, /Refused\/Second cannot be attached to it: Refused\/Own is already: give that one as trigger/);
    refused((stack) => {
      const [one, other] = ['A', 'B'].map((id) =>
        cognito.UserPool.fromUserPoolId(stack, id, `eu-west-1_${id}`),
      );
      const far = trigger(stack);
      far.permit(one!);
      far.permit(other!);
    }, /userPool is Refused\/B, and the trigger Refused\/Own is that of Refused\/A/);
    refused((stack) => {
      const one = trigger(stack);
      one.attachTo(pool(stack, 'Pool'));
      return sync(stack, code, { trigger: one, userPool: pool(stack, 'Other') });
    }, /userPool is Refused\/Other, and the trigger Refused\/Own is that of Refused\/Pool/);
    // Its own trigger would take the pool from the one that the pool's template says.
    refused((stack) => {
      const userPool = pool(new Stack(Stack.of(stack).node.root as App, 'Pools'), 'Pool');
      trigger(stack).attachTo(userPool);
      return sync(stack, code, { userPool });
    }, /userPool of Refused\/Sync is Pools\/Pool, whose trigger is Refused\/Own: give that one as trigger/);
    // The same twice changes nothing.
    const stack = new Stack(new App(), 'Twice');
    const [own, far] = [trigger(stack), trigger(stack, 'Far')];
    const [userPool, replica] = [
      pool(stack, 'Pool'),
      cognito.UserPool.fromUserPoolId(stack, 'R', 'eu-west-1_R'),
    ];
    for (let times = 0; times < 2; times += 1) {
      own.attachTo(userPool);
      far.permit(replica);
    }
    assert.equal(new Questions(Template.fromStack(stack)).ids('AWS::Lambda::Permission', '').length, 2);
  });

  test('two deployments with one trigger, or of one pool, are refused with both paths', () => {
    const two = (props: (stack: Stack, nth: number) => object) => {
      const app = new App();
      const shared = new Stack(app, 'Shared');
      for (const [nth, name] of ['One', 'Other'].entries())
        sync(new Stack(app, name), code, props(shared, nth));
    };
    const given = new Map<Stack, UserSyncTrigger>();
    const theTrigger = (stack: Stack) => {
      if (!given.has(stack)) given.set(stack, trigger(stack));
      return given.get(stack)!;
    };
    assert.throws(
      () => two((stack) => ({ trigger: theTrigger(stack) })),
      /trigger of Other\/Sync is Shared\/Own, whose queue One\/Sync consumes already, .*: make a UserSyncTrigger for each CognitoUserSync/,
    );
    // Also where it is the first one's own.
    const app = new App();
    const { trigger: first } = sync(new Stack(app, 'One'), code);
    assert.throws(
      () => sync(new Stack(app, 'Other'), code, { trigger: first }),
      /trigger of Other\/Sync is One\/Sync\/Trigger, whose queue One\/Sync consumes already/,
    );
    const pools = new Map<Stack, cognito.UserPool>();
    const own = (stack: Stack) => {
      if (!pools.has(stack)) pools.set(stack, new cognito.UserPool(stack, 'Pool'));
      return pools.get(stack)!;
    };
    const imported = (id: string) => (stack: Stack, nth: number) => ({
      userPool: cognito.UserPool.fromUserPoolId(stack, `Pool${nth}`, id),
    });
    assert.throws(
      () => two((stack) => ({ userPool: own(stack) })),
      /userPool of Other\/Sync is Shared\/Pool, whose users One\/Sync syncs already, .*: take one of the two out, or give it another userPool/,
    );
    assert.throws(
      () => two(imported('eu-west-1_Abc123Def')),
      /userPool of Other\/Sync is Shared\/Pool1, whose users One\/Sync syncs already/,
    );
    // By the id of a pool of the app, too.
    assert.throws(
      () =>
        two((stack, nth) => (nth ? imported(own(stack).userPoolId)(stack, nth) : { userPool: own(stack) })),
      /userPool of Other\/Sync is Shared\/Pool1, whose users One\/Sync syncs already/,
    );
    two((stack, nth) => imported(`eu-west-1_${nth}`)(stack, nth));
  });

  test('a heartbeat is sent in whole minutes, from one to sixty', () => {
    for (const [interval, message] of [
      [Duration.seconds(30), /heartbeatInterval is "30 s": it must be whole seconds from 60 to 3600/],
      [Duration.seconds(90), /heartbeatInterval is "90 s": it must be whole minutes from 1 to 60/],
      [Duration.minutes(61), /heartbeatInterval is "3660 s"/],
    ] as const)
      refused((stack) => sync(stack, code, { heartbeatInterval: interval }), message);
  });

  test('a level that the programs do not know is refused', () => {
    refused(
      (stack) => new UserSyncTrigger(stack, 'Own', { code, logLevel: 'FATAL' as never }),
      /logLevel is "FATAL": it must be ERROR at most/,
    );
  });
});

/** The ways out of the VPC: which are made, who is let in, and what is refused where there is none. */
import * as assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Annotations as Acknowledgements, App, Duration, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';
import {
  CognitoUserSyncProps,
  DatabaseAuth,
  EndpointOptions,
  Migrations,
  UserSyncCompute,
  UserSyncDatabase,
} from '../lib';
import { dist } from './support';
import { Questions } from './template';
import { sync } from './variants';

const code = dist();

type Changes = Partial<CognitoUserSyncProps>;

/** A stack of its own, by what is changed. */
function synthesized(changes: (stack: Stack) => Changes): Questions & { stack: Stack } {
  const stack = new Stack(new App(), 'Made');
  sync(stack, code, changes(stack));
  return Object.assign(new Questions(Template.fromStack(stack)), { stack });
}

const isolated = (stack: Stack) =>
  new ec2.Vpc(stack, 'Vpc', {
    natGateways: 0,
    subnetConfiguration: [{ name: 'Isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED }],
  });

/** As `Vpc.fromLookup({ isDefault: true })` finds it. */
const ofDefault = (stack: Stack) =>
  ec2.Vpc.fromVpcAttributes(stack, 'Vpc', {
    vpcId: 'vpc-0123456789abcdef0',
    availabilityZones: ['eu-west-1a', 'eu-west-1b'],
    publicSubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
    publicSubnetRouteTableIds: ['rtb-0123456789abcdef0', 'rtb-0123456789abcdef1'],
    vpcCidrBlock: '172.31.0.0/16',
  });

/** Without Docker. */
const image = ecs.ContainerImage.fromRegistry('example/user-sync');

const services = (questions: Questions) =>
  questions
    .ids('AWS::EC2::VPCEndpoint')
    .map((id) => {
      const name = JSON.stringify(questions.resources[id]!.Properties.ServiceName);
      return /\.([a-z0-9-]+(?:\.(?:api|dkr))?)"/.exec(name)![1];
    })
    .sort();

/** Who is let in to the endpoints: a CIDR block, or a group's logical id. */
const letIn = (questions: Questions) => {
  const inline = questions
    .ids('AWS::EC2::SecurityGroup')
    .flatMap((id) => questions.resources[id]!.Properties.SecurityGroupIngress ?? []);
  const apart = questions
    .ids('AWS::EC2::SecurityGroupIngress')
    .map((id) => questions.resources[id]!.Properties)
    .filter(({ FromPort }) => FromPort === 443);
  return [...inline, ...apart].map(
    ({ CidrIp, SourceSecurityGroupId }) => CidrIp ?? SourceSecurityGroupId?.['Fn::GetAtt'][0],
  );
};

const warnings = (stack: Stack) =>
  Annotations.fromStack(stack)
    .findWarning('*', Match.stringLikeRegexp('cognito-user-sync'))
    .map(({ entry }) => String(entry.data));

describe('endpoints', () => {
  test('are those that are said, and no other', () => {
    const vpc = isolated;
    const made = (endpoints?: EndpointOptions) =>
      services(synthesized((stack) => ({ vpc: vpc(stack), endpoints })));
    assert.deepEqual(made(), []);
    assert.deepEqual(made({}), []);
    assert.deepEqual(made({ sqs: true }), ['sqs']);
    assert.deepEqual(made({ secretsManager: true, sqs: false }), ['secretsmanager']);
    assert.deepEqual(made({ ecr: true, logs: true, s3: true }), ['ecr.api', 'ecr.dkr', 'logs', 's3']);
  });

  test('never lead to Cognito', () => {
    const all = { sqs: true, secretsManager: true, ecr: true, logs: true, s3: true };
    const made = synthesized((stack) => ({ vpc: isolated(stack), endpoints: all }));
    assert.equal(services(made).length, 6);
    assert.ok(!services(made).some((service) => /cognito/.test(service!)));
  });

  test('let in all of the VPC, also the blocks that were associated with it, and this deployment', () => {
    const made = synthesized((stack) => {
      const vpc = isolated(stack);
      new ec2.CfnVPCCidrBlock(stack, 'More', { vpcId: vpc.vpcId, cidrBlock: '10.9.0.0/16' });
      new ec2.CfnVPCCidrBlock(stack, 'Others', { vpcId: 'vpc-other', cidrBlock: '10.8.0.0/16' });
      return { vpc, endpoints: { sqs: true } };
    });
    const [vpc] = made.ids('AWS::EC2::VPC', '');
    const [own] = made.ids('AWS::EC2::SecurityGroup', 'SyncNetworkSecurityGroup');
    assert.deepEqual(letIn(made), [{ 'Fn::GetAtt': [vpc, 'CidrBlock'] }, '10.9.0.0/16', own]);
    const imported = synthesized(() => ({ endpoints: { sqs: true, onImportedVpc: true } }));
    const [ours] = imported.ids('AWS::EC2::SecurityGroup', 'SyncNetworkSecurityGroup');
    assert.deepEqual(letIn(imported), ['10.0.0.0/16', ours]);
  });

  test('let in the peers that are named instead, and this deployment', () => {
    const peers = [ec2.Peer.ipv4('10.1.0.0/16'), ec2.Peer.ipv4('10.2.0.0/16')];
    const made = synthesized((stack) => ({ vpc: isolated(stack), endpoints: { sqs: true, peers } }));
    const [own] = made.ids('AWS::EC2::SecurityGroup', 'SyncNetworkSecurityGroup');
    assert.deepEqual(letIn(made), ['10.1.0.0/16', '10.2.0.0/16', own]);
  });

  test('are there before the migration goes out', () => {
    const made = synthesized((stack) => ({
      vpc: isolated(stack),
      endpoints: { secretsManager: true, s3: true },
    }));
    const [migration] = made.ids('Custom::UserSyncSchema');
    const waits = made.waitsFor(migration!);
    for (const id of made.ids('AWS::EC2::VPCEndpoint')) assert.ok(waits.has(id), id);
  });

  test('stand once in each zone, however many subnets are selected there', () => {
    const made = synthesized((stack) => {
      const vpc = new ec2.Vpc(stack, 'Vpc', {
        maxAzs: 2,
        natGateways: 0,
        subnetConfiguration: ['A', 'B'].map((name) => ({
          name,
          subnetType: ec2.SubnetType.PRIVATE_ISOLATED,
        })),
      });
      return { vpc, endpoints: { sqs: true } };
    });
    assert.equal(made.properties('AWS::EC2::VPCEndpoint', 'Sync').SubnetIds.length, 2);
  });
});

describe('the gateway of S3', () => {
  const tables = (questions: Questions) =>
    questions.properties('AWS::EC2::VPCEndpoint', 'Sync').RouteTableIds;

  test('goes into the route tables of the subnets, and in no other', () => {
    const made = synthesized((stack) => ({ vpc: new ec2.Vpc(stack, 'Vpc'), endpoints: { s3: true } }));
    assert.deepEqual(
      tables(made),
      made.ids('AWS::EC2::RouteTable', 'VpcPrivate').map((Ref) => ({ Ref })),
    );
  });

  test('waits for the CLI to look the VPC up', () => {
    const env = { account: '123456789012', region: 'eu-west-1' };
    const stack = new Stack(new App(), 'Made', { env });
    const vpc = ec2.Vpc.fromLookup(stack, 'Vpc', { vpcId: 'vpc-0123456789abcdef0' });
    const vpcSubnets = { subnetGroupName: 'App' };
    sync(stack, code, { vpc, vpcSubnets, endpoints: { s3: true, onImportedVpc: true } });
  });

  test('is refused where nobody knows the route tables', () => {
    const attributes = {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['eu-west-1a'],
      privateSubnetIds: ['subnet-0123456789abcdef0'],
    };
    assert.throws(
      () =>
        synthesized((stack) => ({
          vpc: ec2.Vpc.fromVpcAttributes(stack, 'Unknown', attributes),
          endpoints: { s3: true, onImportedVpc: true },
        })),
      /endpoints\.s3 is true: it must be left out, .*Made\/Unknown\/PrivateSubnet1.* with privateSubnetRouteTableIds/,
    );
  });
});

describe('endpoints that would take a service away from others are refused:', () => {
  const CASES: [string, (stack: Stack) => Changes, RegExp][] = [
    [
      'on an imported VPC',
      () => ({ endpoints: { sqs: true, s3: true } }),
      /endpoints\.onImportedVpc is false: it must be true for sqs, s3 in the imported VPC Made\/Vpc: private DNS leads everybody/,
    ],
    [
      'on one whose blocks nobody knows',
      (stack) => ({
        vpc: ec2.Vpc.fromVpcAttributes(stack, 'Unknown', {
          vpcId: 'vpc-0123456789abcdef0',
          availabilityZones: ['eu-west-1a'],
          privateSubnetIds: ['subnet-0123456789abcdef0'],
        }),
        endpoints: { sqs: true, onImportedVpc: true },
      }),
      /vpc is "Made\/Unknown": it must be imported with its vpcCidrBlock, or endpoints\.peers must say who is let in/,
    ],
    [
      'for nobody',
      (stack) => ({ vpc: isolated(stack), endpoints: { sqs: true, peers: [] } }),
      /endpoints\.peers is \[\]: it must be one peer at least, or left out for all of the VPC/,
    ],
    [
      'with peers of none',
      (stack) => ({ vpc: isolated(stack), endpoints: { s3: true, peers: [ec2.Peer.ipv4('10.1.0.0/16')] } }),
      /endpoints\.peers is "given": it must be left out where no interface endpoint is made/,
    ],
    [
      'where names lead nowhere',
      (stack) => ({
        vpc: new ec2.Vpc(stack, 'Vpc', { enableDnsHostnames: false }),
        endpoints: { sqs: true },
      }),
      /endpoints is "given, and the VPC's enableDnsHostnames false": it must be left out, or enableDnsHostnames true/,
    ],
  ];
  for (const [title, changes, message] of CASES)
    test(title, () => assert.throws(() => synthesized(changes), message));
});

describe('in isolated subnets', () => {
  const named = (changes: Changes) => {
    const { stack } = synthesized((to) => ({ vpc: isolated(to), ...changes }));
    return warnings(stack).flatMap((text) => /endpoints has no (\w+),/.exec(text)?.[1] ?? []);
  };

  test('each endpoint that is needed and missing is a warning with the prop to set', () => {
    assert.deepEqual(named({}).sort(), ['secretsManager', 'sqs']);
    assert.deepEqual(named({ endpoints: { sqs: true } }), ['secretsManager']);
    assert.deepEqual(named({ endpoints: { sqs: true, secretsManager: true } }), []);
    const fargate = UserSyncCompute.fargate({ image });
    assert.deepEqual(named({ compute: fargate }).sort(), ['ecr', 'logs', 's3', 'secretsManager', 'sqs']);
    const { stack } = synthesized((to) => ({ vpc: isolated(to) }));
    const [first] = warnings(stack).filter((text) => /no sqs/.test(text));
    assert.match(first!, /give endpoints: \{ sqs: true \}, or let `connections` into the endpoint/);
    assert.match(first!, /Made\/Vpc\/IsolatedSubnet1/);
  });

  test('passwords need Secrets Manager, also where nobody migrates; tokens do not', () => {
    const skipped = { migrations: Migrations.SKIP, endpoints: { sqs: true } };
    assert.deepEqual(named(skipped), []);
    assert.deepEqual(named({ ...skipped, auth: DatabaseAuth.secret() }), ['secretsManager']);
  });

  test('one that others made is acknowledged by its id', () => {
    const stack = new Stack(new App(), 'Made');
    const made = sync(stack, code, { vpc: isolated(stack) });
    for (const service of ['sqs', 'secretsManager'])
      Acknowledgements.of(made).acknowledgeWarning(`cognito-user-sync:endpoint-${service}`);
    assert.deepEqual(warnings(stack), []);
  });

  test('private subnets, and imported ones of which nothing is known, are not warned of', () => {
    assert.deepEqual(warnings(synthesized(() => ({})).stack), []);
    const subnets = (stack: Stack) => [ec2.Subnet.fromSubnetId(stack, 'Subnet', 'subnet-1')];
    const known = (stack: Stack) => ({ vpcSubnets: { subnets: subnets(stack) } });
    assert.deepEqual(warnings(synthesized(known).stack), []);
  });
});

describe('in the public subnets of a default VPC', () => {
  const enough = { sqs: true, secretsManager: true, onImportedVpc: true };

  test('functions are refused, with what to give instead', () => {
    assert.throws(
      () => synthesized((stack) => ({ vpc: ofDefault(stack) })),
      /vpcSubnets is "public: Made\/Vpc\/PublicSubnet1, Made\/Vpc\/PublicSubnet2": it must be private subnets with a NAT gateway, .* or give endpoints: \{ \w+: true, .*onImportedVpc: true \}/,
    );
    const subnetType = ec2.SubnetType.PUBLIC;
    assert.throws(
      () => synthesized((stack) => ({ vpc: new ec2.Vpc(stack, 'Own'), vpcSubnets: { subnetType } })),
      /vpcSubnets is "public: Made\/Own\/PublicSubnet1.*or give endpoints: \{ \w+: true \}/,
    );
  });

  test('functions are made where they reach what they need by endpoints', () => {
    const made = synthesized((stack) => ({ vpc: ofDefault(stack), endpoints: enough }));
    assert.deepEqual(services(made), ['secretsmanager', 'sqs']);
    assert.ok(made.function('Consumer').VpcConfig);
  });

  test('a worker needs an address of its own', () => {
    const worker = (assignPublicIp?: boolean) =>
      synthesized((stack) => ({
        vpc: ofDefault(stack),
        compute: UserSyncCompute.fargate({ image, assignPublicIp }),
        endpoints: { secretsManager: true, onImportedVpc: true },
      }));
    assert.throws(
      () => worker(),
      /assignPublicIp is false: it must be true in public subnets \(Made\/Vpc\/PublicSubnet1, .*\), where a task has no other way to AWS; or give endpoints: \{ sqs: true, ecr: true, logs: true, s3: true, onImportedVpc: true \}/,
    );
    const { AwsvpcConfiguration } = worker(true).properties('AWS::ECS::Service', 'Sync').NetworkConfiguration;
    assert.equal(AwsvpcConfiguration.AssignPublicIp, 'ENABLED');
  });

  test('a VPC is not judged before the CLI has looked it up', () => {
    const env = { account: '123456789012', region: 'eu-west-1' };
    const stack = new Stack(new App(), 'Made', { env });
    const vpc = ec2.Vpc.fromLookup(stack, 'Vpc', { isDefault: true });
    const compute = UserSyncCompute.fargate({ image, assignPublicIp: true });
    const endpoints = { secretsManager: true, onImportedVpc: true };
    sync(stack, code, { vpc, compute, endpoints });
    assert.deepEqual(warnings(stack), []);
  });

  test('an address is refused where it is of no use', () => {
    const compute = UserSyncCompute.fargate({ image, assignPublicIp: true });
    assert.throws(
      () => synthesized(() => ({ compute })),
      /assignPublicIp is true: it must be left out, since none of vpcSubnets is public/,
    );
  });
});

describe('the way to the database', () => {
  const port = (questions: Questions) =>
    questions
      .properties('AWS::EC2::SecurityGroup', 'SyncNetworkSecurityGroup')
      .SecurityGroupEgress.map(({ FromPort }: { FromPort: number }) => FromPort);
  const theirs = (stack: Stack, mutable?: boolean) =>
    ec2.SecurityGroup.fromSecurityGroupId(stack, 'Theirs', 'sg-0123456789abcdef1', { mutable });
  const database = (stack: Stack, mutable?: boolean) =>
    UserSyncDatabase.fromAttributes({
      host: 'db.example.com',
      port: 6_432,
      resourceId: 'db-ABC',
      securityGroup: theirs(stack, mutable),
      adminSecret: secretsmanager.Secret.fromSecretNameV2(stack, 'Admin', 'admin'),
    });

  test('is opened in the group of the database', () => {
    const made = synthesized((stack) => ({ database: database(stack) }));
    const rules = made.ids('AWS::EC2::SecurityGroupIngress', '').map((id) => made.resources[id]!.Properties);
    assert.deepEqual(
      rules.map(({ GroupId, FromPort }) => [GroupId, FromPort]),
      [['sg-0123456789abcdef1', 6_432]],
    );
    assert.deepEqual(warnings(made.stack), []);
  });

  test('in a group that may not be changed is refused, with what to do', () => {
    assert.throws(
      () => synthesized((to) => ({ database: database(to, false) })),
      /database has the security group Made\/Theirs \(sg-0123456789abcdef1\), imported with mutable: false, so nothing can be opened in it: import it without mutable, or leave the group out of the database and let `connections` in at port 6432 yourself/,
    );
  });

  test('leads out to a database whose groups nobody knows', () => {
    const made = synthesized((stack) => ({
      database: UserSyncDatabase.fromAttributes({
        host: 'db.example.com',
        port: 6_432,
        resourceId: 'db-ABC',
        adminSecret: secretsmanager.Secret.fromSecretNameV2(stack, 'Admin', 'admin'),
      }),
    }));
    assert.deepEqual(port(made), [443, 6_432]);
  });
});

test('a rotation in closed subnets needs Secrets Manager, as all passwords do', () => {
  const auth = DatabaseAuth.secret({ rotateAfter: Duration.days(30) });
  const { stack } = synthesized((to) => ({
    vpc: isolated(to),
    auth,
    migrations: Migrations.SKIP,
    endpoints: { sqs: true },
  }));
  assert.match(
    warnings(stack).join('\n'),
    /endpoints has no secretsManager.* give endpoints: \{ secretsManager: true \}/,
  );
});

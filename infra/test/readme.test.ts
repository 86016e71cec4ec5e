import * as assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { dist, INFRA } from './support';

const BLOCK = /<!-- example:begin -->\s*```ts\n([\s\S]*?)```\s*<!-- example:end -->/g;

/** The examples of adoption: infra's own, and the one on the front page. */
const examples = ['README.md', '../README.md'].flatMap((file) => {
  const text = fs.readFileSync(path.join(INFRA, file), 'utf8');
  return [...text.matchAll(BLOCK)].map(([, example]) => ({ file, example: example! }));
});

/** What the examples take for granted. */
const AROUND = (example: string): string => `
import { App, Stack } from 'aws-cdk-lib';
import * as cognito from 'aws-cdk-lib/aws-cognito';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as rds from 'aws-cdk-lib/aws-rds';
import * as sns from 'aws-cdk-lib/aws-sns';
${example.match(/^import .*$/gm)!.join('\n')}

class Yours extends Stack {
  constructor(app: App) {
    super(app, 'Yours');
    const userPool: cognito.IUserPool = new cognito.UserPool(this, 'Pool');
    const vpc: ec2.IVpc = new ec2.Vpc(this, 'Vpc');
    const engine = rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_17_9 });
    const instance: rds.IDatabaseInstance = new rds.DatabaseInstance(this, 'Database', { engine, vpc, storageEncrypted: true });
    const alarmTopic: sns.ITopic = new sns.Topic(this, 'Topic', { enforceSSL: true });
    ${example.replace(/^import .*$/gm, '')}
  }
}
const app = new App({ outdir: process.argv[2] });
new Yours(app);
app.synth();
`;

test('the example of adoption has ten lines at most, compiles, and makes a template', async () => {
  assert.deepEqual(
    examples.map(({ file }) => file),
    ['README.md', '../README.md'],
  );
  const folder = path.join(INFRA, 'cdk.out', 'example');
  fs.rmSync(folder, { recursive: true, force: true });
  // The package as its users see it: by its name.
  const installed = path.join(folder, 'node_modules', 'cognito-user-sync-infra');
  fs.mkdirSync(installed, { recursive: true });
  fs.writeFileSync(path.join(installed, 'package.json'), '{ "main": "index.ts", "types": "index.ts" }');
  fs.writeFileSync(path.join(installed, 'index.ts'), "export * from '../../../../lib';\n");
  const bin = (name: string) => path.join(INFRA, 'node_modules', '.bin', name);
  for (const [index, { file, example }] of examples.entries()) {
    const lines = example.split('\n').filter((line) => line.trim() !== '');
    assert.ok(lines.length <= 10, `${file}: ${lines.length} lines`);
    const source = path.join(folder, `example-${index}.ts`);
    fs.writeFileSync(source, AROUND(example).replace(/'[^']*user-sync\/dist'/, JSON.stringify(dist())));
    const config = { extends: '../../tsconfig.json', include: [`example-${index}.ts`] };
    fs.writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify(config));
    await promisify(execFile)(bin('tsc'), ['-p', folder]);
    const assembly = path.join(folder, `assembly-${index}`);
    await promisify(execFile)(bin('tsx'), [source, assembly], { cwd: INFRA });
    const template = fs.readFileSync(path.join(assembly, 'Yours.template.json'), 'utf8');
    for (const type of ['AWS::Lambda::EventSourceMapping', 'Custom::UserSyncSchema'])
      assert.ok(template.includes(type), `${file}: ${type}`);
  }
});

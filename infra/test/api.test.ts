import * as assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { INFRA } from './support';

const run = (program: string, args: string[]) =>
  promisify(execFile)(path.join(INFRA, 'node_modules', '.bin', program), args, { cwd: INFRA });

test('the construct can be had from every language of jsii, and API.md is what it says', async () => {
  const { jsii } = JSON.parse(fs.readFileSync(path.join(INFRA, 'package.json'), 'utf8')).scripts;
  const [program, ...args] = jsii.split(' ');
  await run(program, args);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'user-sync-api-'));
  try {
    const file = path.join(folder, 'API.md');
    await run('jsii-docgen', ['--output', file]);
    const generated = fs.readFileSync(file, 'utf8');
    const kept = fs.readFileSync(path.join(INFRA, 'API.md'), 'utf8');
    assert.equal(kept === generated, true, 'infra/API.md is not what the doc comments say: npm run api');
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});

/** A folder of built programs that do nothing, as `make lambda` would leave it. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

const PROGRAMS = ['user-sync-trigger', 'user-sync-consumer', 'user-sync-lifecycle', 'user-sync-operator'];

export const INFRA = path.join(__dirname, '..');

export function dist(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'user-sync-dist-'));
  for (const lambdas of ['lambda', 'lambda-arm64']) {
    for (const program of PROGRAMS) write(path.join(folder, lambdas, program, 'bootstrap'), `${program}\n`);
  }
  for (const worker of ['worker', 'worker-arm64']) {
    write(path.join(folder, worker, 'user-sync'), 'user-sync\n');
    write(
      path.join(folder, worker, 'Dockerfile'),
      fs.readFileSync(path.join(INFRA, 'worker', 'Dockerfile'), 'utf8'),
    );
  }
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function write(file: string, text: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text, { mode: 0o755 });
}

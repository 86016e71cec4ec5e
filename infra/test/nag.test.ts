import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { test } from 'node:test';
import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { Quickstart } from '../bin/quickstart-stack';
import { dist } from './support';
import { compositions, variants } from './variants';

interface Violation {
  readonly ruleName: string;
  readonly violatingConstructs: { readonly constructPath: string }[];
}

// CDK's own validation is the CLI's test's, which synthesises the same.
process.env.CDK_VALIDATION = 'false';

test('cdk-nag finds nothing that is not acknowledged with its reason', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'user-sync-nag-'));
  const app = new App({ outdir: directory });
  const code = dist();
  variants(app, code);
  compositions(app, code);
  new Quickstart(app, 'Quickstart', { code });
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  const write = process.stderr.write;
  // The findings are read from the report.
  process.stderr.write = () => true;
  const { exitCode } = process;
  try {
    app.synth();
    // The oldest CDK that the construct works with says it so.
    assert.equal(process.exitCode, 1);
  } catch (error) {
    assert.match(String(error), /Validation failed/);
  } finally {
    process.stderr.write = write;
    process.exitCode = exitCode;
  }
  const report = JSON.parse(fs.readFileSync(path.join(directory, 'validation-report.json'), 'utf8'));
  fs.rmSync(directory, { recursive: true });
  const violations: Violation[] = report.pluginReports.find(
    ({ pluginName }: { pluginName: string }) => pluginName === 'AwsSolutions',
  ).violations;
  const found = violations.flatMap(({ ruleName, violatingConstructs }) =>
    violatingConstructs.map(({ constructPath }) => `${ruleName} ${constructPath}`),
  );
  // What a variant puts the construct beside is as plain as can be, and is found: the rules were asked.
  assert.ok(found.includes('AwsSolutions-COG1 OwnPool/Pool/Resource'), found.join('\n'));
  assert.deepEqual(
    found.filter((line) => /^\S+ (\w+\/(Sync|Trigger)\/|Quickstart\/)/.test(line)),
    [],
  );

  const acknowledged = app.node
    .findAll()
    .flatMap(({ node }) =>
      node.metadata.filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY),
    );
  assert.ok(acknowledged.length > 0);
  for (const { data } of acknowledged)
    for (const reason of Object.values(data))
      assert.ok(String(reason).split(' ').length >= 4, String(reason));
});

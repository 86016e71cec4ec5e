/**
 * Rights to secrets and keys, in the role of whoever has them. CDK writes some of them into the key's policy, too: a key of an
 * earlier stack would then wait for a role of a later one, which waits for the key.
 */
import * as iam from 'aws-cdk-lib/aws-iam';
import * as kms from 'aws-cdk-lib/aws-kms';
import * as secretsmanager from 'aws-cdk-lib/aws-secretsmanager';

/** Permits to read a secret, and to use its key for that, if that is one of the account's own. */
export function grantRead(secret: secretsmanager.ISecret, grantee: iam.IGrantable): iam.Grant {
  const grant = iam.Grant.addToPrincipal({
    grantee,
    actions: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
    // Of one that is known by its name the end of the ARN is not known.
    resourceArns: [secret.secretFullArn ?? `${secret.secretArn}-??????`],
  });
  const { encryptionKey, env } = secret;
  if (!encryptionKey) return grant;
  const conditions = { StringEquals: { 'kms:ViaService': `secretsmanager.${env.region}.amazonaws.com` } };
  return grant.combine(grantKey(encryptionKey, grantee, ['kms:Decrypt'], conditions));
}

/** Permits uses of a key, whose policy must trust the account's roles: that of a key which CDK made does. */
export function grantKey(
  key: kms.IKey,
  grantee: iam.IGrantable,
  actions: string[],
  conditions?: Record<string, Record<string, unknown>>,
): iam.Grant {
  return iam.Grant.addToPrincipal({ grantee, actions, resourceArns: [key.keyArn], conditions });
}

// A backend that signs its users in, and tells user-sync where each login came from. Express and the AWS SDK v3.

import { createHash } from 'node:crypto';
import { CognitoIdentityProviderClient, InitiateAuthCommand } from '@aws-sdk/client-cognito-identity-provider';
import { SQSClient, SendMessageCommand } from '@aws-sdk/client-sqs';
import express from 'express';

const cognito = new CognitoIdentityProviderClient();
const sqs = new SQSClient({ maxAttempts: 2 });

/** What is sent. `claims` are those of the access token that the login ended in, verified. */
export function loginContext(claims, ip, userAgent) {
  // When the sign-in was complete, in whole seconds.
  const millis = claims.auth_time * 1000;
  // A UUIDv7 of that time, whose other bits follow from the token: sent again, it is the same event.
  const id = createHash('sha256').update(`application:${claims.jti}`).digest().subarray(0, 16);
  id.writeUIntBE(millis, 0, 6);
  id[6] = 0x70 | (id[6] & 0x0f);
  id[8] = 0x80 | (id[8] & 0x3f);
  return {
    specversion: '1.0',
    id: id.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    source: `cognito/${claims.iss.split('/').at(-1)}`,
    type: 'user.login_context',
    subject: claims.sub,
    time: new Date(millis).toISOString(),
    datacontenttype: 'application/json',
    schemaversion: 1,
    data: {
      reported_by: 'application',
      client_id: claims.client_id,
      ip,
      user_agent: userAgent?.slice(0, 1024),
    },
  };
}

/** Nothing that goes wrong here is the user's business, and no log has the values. */
async function tell(accessToken, ip, userAgent) {
  try {
    // This token came from Cognito itself, over TLS. One that a client hands over is verified first.
    const claims = JSON.parse(Buffer.from(accessToken.split('.')[1], 'base64url'));
    const MessageBody = JSON.stringify(loginContext(claims, ip, userAgent));
    const command = new SendMessageCommand({ QueueUrl: process.env.USER_SYNC_CONTEXT_QUEUE_URL, MessageBody });
    // Short: nobody waits for it, and what it may lose is an address.
    await sqs.send(command, { abortSignal: AbortSignal.timeout(3000) });
  } catch (error) {
    console.warn('where a login came from is not recorded:', error.name);
  }
}

export const app = express();
// Whose X-Forwarded-For is believed: your own proxies', and nobody else's.
app.set('trust proxy', process.env.TRUSTED_PROXIES?.split(',') ?? false);

app.post('/login', express.json(), async (request, response) => {
  const { user, password } = request.body;
  const command = new InitiateAuthCommand({
    AuthFlow: 'USER_PASSWORD_AUTH',
    ClientId: process.env.CLIENT_ID,
    AuthParameters: { USERNAME: user, PASSWORD: password },
  });
  const token = (await cognito.send(command)).AuthenticationResult.AccessToken;
  response.json({ access_token: token });
  void tell(token, request.ip, request.get('user-agent'));
});

if (process.env.PORT) app.listen(process.env.PORT, '127.0.0.1');

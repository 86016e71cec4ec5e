// PostConfirmation and PostAuthentication on Node.js: one message an event, and the event goes back whatever happens.
import { randomUUID } from "node:crypto";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";

const QueueUrl = process.env.USER_SYNC_QUEUE_URL;
const sqs = new SQSClient({ maxAttempts: 2, requestHandler: { connectionTimeout: 500, requestTimeout: 700 } });

const TYPES = {
  PostConfirmation_ConfirmSignUp: "user.confirmed",
  PostConfirmation_ConfirmForgotPassword: "user.password_reset",
  PostAuthentication_Authentication: "user.authenticated",
};
const CLIENT = ["ip", "user_agent", "device", "location", "referral_code"];

function message(event, type) {
  const { sub, "cognito:user_status": status, ...attributes } = event.request.userAttributes;
  const metadata = event.request.clientMetadata ?? {};
  return {
    specversion: "1.0",
    id: randomUUID(),
    source: `cognito/${event.userPoolId}`,
    type,
    subject: sub,
    time: new Date().toISOString(),
    datacontenttype: "application/json",
    schemaversion: 1,
    data: {
      user_name: event.userName,
      client_id: event.callerContext.clientId,
      status,
      federated: status === "EXTERNAL_PROVIDER",
      attributes,
      client: Object.fromEntries(CLIENT.filter((key) => metadata[key]).map((key) => [key, metadata[key]])),
    },
  };
}

export async function handler(event) {
  try {
    const type = TYPES[event.triggerSource];
    if (type) {
      await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: JSON.stringify(message(event, type)) }));
    }
  } catch (error) {
    console.error("a message was not sent:", error.message);
  }
  return event;
}

// A row at a time: a transaction and two prepared statements a message.
import pg from "pg";

const client = new pg.Client({ connectionString: process.env.DATABASE_URL, options: "-c user_sync.service=on" });
await client.connect();

const LEDGER = {
  name: "ledger",
  text: `insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
    values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing`,
};
const USER = {
  name: "user",
  text: `insert into users (id, name, referral_code, created_at, synced_at, updated_at)
    values ($1::uuid, $2, $1::uuid::text, $3, $3, $3)
    on conflict (id) do update set
      login_count = users.login_count + 1,
      last_login_at = greatest(users.last_login_at, $3),
      last_login_ip = case when users.last_login_at <= $3 then $4::inet else users.last_login_ip end,
      email_verified = $5, first_name = $6, last_name = $7, cognito_status = $8, cognito_attributes = $9,
      synced_at = greatest(users.synced_at, $3), updated_at = greatest(users.updated_at, $3)`,
};

async function apply(event) {
  const { data } = event;
  const told = data.attributes;
  await client.query("begin");
  try {
    const pool = event.source.replace("cognito/", "");
    const ledger = [event.id, event.subject, event.type, pool, event.time, JSON.stringify(data)];
    const inserted = await client.query({ ...LEDGER, values: ledger });
    if (inserted.rowCount) {
      const user = [event.subject, told.given_name, event.time, data.client?.ip ?? null, told.email_verified === "true",
        told.given_name, told.family_name, data.status, JSON.stringify(told)];
      await client.query({ ...USER, values: user });
    }
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

export async function handler(event) {
  const batchItemFailures = [];
  for (const record of event.Records) {
    try {
      await apply(JSON.parse(record.body));
    } catch (error) {
      console.error("a message goes back:", error.message);
      batchItemFailures.push({ itemIdentifier: record.messageId });
    }
  }
  return { batchItemFailures };
}

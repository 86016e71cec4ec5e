// One transaction a batch: arrays and unnest, folded per user before the update.
import pg from "pg";

const client = new pg.Client({ connectionString: process.env.DATABASE_URL, options: "-c user_sync.service=on" });
await client.connect();

const LEDGER = {
  name: "ledger",
  text: `insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
    select id, user_id, type, user_pool_id, occurred_at, data::jsonb
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
      as event (id, user_id, type, user_pool_id, occurred_at, data)
    order by id on conflict (id) do nothing returning id`,
};
const LOCK = { name: "lock", text: "select id from users where id = any ($1::uuid[]) order by id for update" };
const USERS = {
  name: "users",
  text: `update users set
      login_count = users.login_count + new.logins,
      last_login_at = greatest(users.last_login_at, new.time),
      last_login_ip = case when users.last_login_at <= new.time then new.ip::inet else users.last_login_ip end,
      email_verified = new.verified, first_name = new.given, last_name = new.family,
      cognito_status = new.status, cognito_attributes = new.attributes::jsonb,
      synced_at = greatest(users.synced_at, new.time), updated_at = greatest(users.updated_at, new.time)
    from unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::text[], $5::bool[], $6::text[], $7::text[], $8::text[], $9::text[])
      as new (id, logins, time, ip, verified, given, family, status, attributes)
    where users.id = new.id`,
};

async function apply(events) {
  const of = (value) => events.map(value);
  const ledger = [of((e) => e.id), of((e) => e.subject), of((e) => e.type),
    of((e) => e.source.replace("cognito/", "")), of((e) => e.time), of((e) => JSON.stringify(e.data))];
  const inserted = await client.query({ ...LEDGER, values: ledger });
  const fresh = new Set(inserted.rows.map((row) => row.id));
  const latest = new Map();
  const logins = new Map();
  for (const event of events) {
    if (!fresh.has(event.id)) continue;
    logins.set(event.subject, (logins.get(event.subject) ?? 0) + 1);
    const known = latest.get(event.subject);
    if (!known || event.time > known.time) latest.set(event.subject, event);
  }
  const users = [...latest.keys()].sort();
  await client.query({ ...LOCK, values: [users] });
  const told = (value) => users.map((user) => value(latest.get(user)));
  await client.query({
    ...USERS,
    values: [users, users.map((user) => logins.get(user)), told((e) => e.time), told((e) => e.data.client?.ip ?? null),
      told((e) => e.data.attributes.email_verified === "true"), told((e) => e.data.attributes.given_name),
      told((e) => e.data.attributes.family_name), told((e) => e.data.status),
      told((e) => JSON.stringify(e.data.attributes))],
  });
}

export async function handler(event) {
  await client.query("begin");
  try {
    await apply(event.Records.map((record) => JSON.parse(record.body)));
    await client.query("commit");
    return { batchItemFailures: [] };
  } catch (error) {
    console.error("the batch goes back:", error.message);
    await client.query("rollback");
    return { batchItemFailures: event.Records.map((record) => ({ itemIdentifier: record.messageId })) };
  }
}

"""A good Python: one transaction a batch, psycopg, arrays and unnest, folded per user before the update."""

import json
import os

import psycopg

connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, options="-c user_sync.service=on")

LEDGER = """
insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
select id, user_id, type, user_pool_id, occurred_at, data::jsonb
from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::timestamptz[], %s::text[])
    as event (id, user_id, type, user_pool_id, occurred_at, data)
order by id on conflict (id) do nothing returning id::text"""

LOCK = "select id from users where id = any (%s::uuid[]) order by id for update"

USERS = """
update users set
    login_count = users.login_count + new.logins,
    last_login_at = greatest(users.last_login_at, new.time),
    last_login_ip = case when users.last_login_at <= new.time then new.ip::inet else users.last_login_ip end,
    email_verified = new.verified, first_name = new.given, last_name = new.family,
    cognito_status = new.status, cognito_attributes = new.attributes::jsonb,
    synced_at = greatest(users.synced_at, new.time), updated_at = greatest(users.updated_at, new.time)
from unnest(%s::uuid[], %s::int[], %s::timestamptz[], %s::text[], %s::bool[], %s::text[], %s::text[], %s::text[], %s::text[])
    as new (id, logins, time, ip, verified, given, family, status, attributes)
where users.id = new.id"""


def apply(events):
    """All of the batch or nothing: whatever fails, the messages come back."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(LEDGER, (
            [event["id"] for event in events],
            [event["subject"] for event in events],
            [event["type"] for event in events],
            [event["source"].removeprefix("cognito/") for event in events],
            [event["time"] for event in events],
            [json.dumps(event["data"]) for event in events],
        ))
        fresh = {id for (id,) in cursor}
        latest, logins = {}, {}
        for event in events:
            if event["id"] not in fresh:
                continue
            sub = event["subject"]
            logins[sub] = logins.get(sub, 0) + 1
            if sub not in latest or event["time"] > latest[sub]["time"]:
                latest[sub] = event
        users = sorted(latest)
        cursor.execute(LOCK, (users,))
        of = [latest[user]["data"] for user in users]
        attributes = [data["attributes"] for data in of]
        cursor.execute(USERS, (
            users,
            [logins[user] for user in users],
            [latest[user]["time"] for user in users],
            [data.get("client", {}).get("ip") for data in of],
            [told["email_verified"] == "true" for told in attributes],
            [told["given_name"] for told in attributes],
            [told["family_name"] for told in attributes],
            [data["status"] for data in of],
            [json.dumps(told) for told in attributes],
        ))


def handler(event, context):
    records = event["Records"]
    try:
        apply([json.loads(record["body"]) for record in records])
    except Exception as error:
        print(f"the batch goes back: {error!r}")
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}
    return {"batchItemFailures": []}

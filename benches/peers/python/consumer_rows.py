"""The way most do it: Powertools' batch processor, psycopg, a transaction and two statements a message."""

import json
import os

import psycopg
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

processor = BatchProcessor(event_type=EventType.SQS)
connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, options="-c user_sync.service=on")

LEDGER = """
insert into user_events (id, user_id, type, user_pool_id, occurred_at, data)
values (%s, %s, %s, %s, %s, %s) on conflict (id) do nothing"""

USER = """
insert into users (id, name, referral_code, created_at, synced_at, updated_at)
values (%(sub)s::uuid, %(name)s, %(sub)s::uuid::text, %(time)s::timestamptz, %(time)s, %(time)s)
on conflict (id) do update set
    login_count = users.login_count + 1,
    last_login_at = greatest(users.last_login_at, %(time)s),
    last_login_ip = case when users.last_login_at <= %(time)s then %(ip)s::inet else users.last_login_ip end,
    email_verified = %(verified)s, first_name = %(given)s, last_name = %(family)s,
    cognito_status = %(status)s, cognito_attributes = %(attributes)s::jsonb,
    synced_at = greatest(users.synced_at, %(time)s), updated_at = greatest(users.updated_at, %(time)s)"""


def record_handler(record):
    event = json.loads(record.body)
    data = event["data"]
    attributes = data["attributes"]
    with connection.transaction():
        inserted = connection.execute(
            LEDGER,
            (event["id"], event["subject"], event["type"], event["source"].removeprefix("cognito/"),
             event["time"], json.dumps(data)),
        )
        if inserted.rowcount:
            connection.execute(USER, {
                "sub": event["subject"], "name": attributes["given_name"], "time": event["time"],
                "ip": data.get("client", {}).get("ip"), "verified": attributes["email_verified"] == "true",
                "given": attributes["given_name"], "family": attributes["family_name"],
                "status": data["status"], "attributes": json.dumps(attributes),
            })


def handler(event, context):
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context)

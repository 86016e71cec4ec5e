"""PostConfirmation and PostAuthentication in Python: one message an event, and the event goes back whatever happens."""

import datetime
import json
import logging
import os
import uuid

import boto3
from botocore.config import Config

logger = logging.getLogger()
QUEUE_URL = os.environ["USER_SYNC_QUEUE_URL"]
sqs = boto3.client("sqs", config=Config(connect_timeout=0.5, read_timeout=0.7, retries={"total_max_attempts": 2}))

TYPES = {
    "PostConfirmation_ConfirmSignUp": "user.confirmed",
    "PostConfirmation_ConfirmForgotPassword": "user.password_reset",
    "PostAuthentication_Authentication": "user.authenticated",
}
CLIENT = ("ip", "user_agent", "device", "location", "referral_code")


def message(event, type):
    attributes = dict(event["request"]["userAttributes"])
    metadata = event["request"].get("clientMetadata") or {}
    sub = attributes.pop("sub")
    status = attributes.pop("cognito:user_status", None)
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": f"cognito/{event['userPoolId']}",
        "type": type,
        "subject": sub,
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "schemaversion": 1,
        "data": {
            "user_name": event["userName"],
            "client_id": event["callerContext"]["clientId"],
            "status": status,
            "federated": status == "EXTERNAL_PROVIDER",
            "attributes": attributes,
            "client": {key: metadata[key] for key in CLIENT if metadata.get(key)},
        },
    }


def handler(event, context):
    try:
        if type := TYPES.get(event["triggerSource"]):
            sqs.send_message(QueueUrl=QUEUE_URL, MessageBody=json.dumps(message(event, type)))
    except Exception as error:
        logger.error("a message was not sent: %s", error)
    return event

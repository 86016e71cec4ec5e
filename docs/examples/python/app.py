"""A backend that signs its users in, and tells user-sync where each login came from. FastAPI and boto3."""

import base64
import hashlib
import json
import logging
import os
from datetime import datetime, timezone
from uuid import UUID

import boto3
from botocore.config import Config
from fastapi import BackgroundTasks, Body, FastAPI, Request

app = FastAPI()
cognito = boto3.client("cognito-idp")
# Short: nobody waits for it, and what it may lose is an address.
brief = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2})
sqs = boto3.client("sqs", config=brief)


def login_context(claims, ip, user_agent):
    """What is sent. `claims` are those of the access token that the login ended in, verified."""
    # When the sign-in was complete, in whole seconds.
    at = claims["auth_time"]
    # A UUIDv7 of that time, whose other bits follow from the token: sent again, it is the same event.
    id = bytearray(hashlib.sha256(b"application:" + claims["jti"].encode()).digest()[:16])
    id[:6] = (at * 1000).to_bytes(6, "big")
    id[6] = 0x70 | id[6] & 0x0F
    id[8] = 0x80 | id[8] & 0x3F
    data = {
        "reported_by": "application",
        "client_id": claims["client_id"],
        "ip": ip,
        "user_agent": user_agent and user_agent[:1024],
    }
    return {
        "specversion": "1.0",
        "id": str(UUID(bytes=bytes(id))),
        "source": "cognito/" + claims["iss"].rsplit("/", 1)[1],
        "type": "user.login_context",
        "subject": claims["sub"],
        "time": datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "datacontenttype": "application/json",
        "schemaversion": 1,
        "data": {name: value for name, value in data.items() if value},
    }


def tell(access_token, ip, user_agent):
    """Runs after the answer. Nothing that goes wrong here is the user's business, and no log has the values."""
    try:
        # This token came from Cognito itself, over TLS. One that a client hands over is verified first.
        payload = access_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        message = json.dumps(login_context(claims, ip, user_agent))
        sqs.send_message(QueueUrl=os.environ["USER_SYNC_CONTEXT_QUEUE_URL"], MessageBody=message)
    except Exception as error:
        logging.warning("where a login came from is not recorded: %s", type(error).__name__)


@app.post("/login")
def login(request: Request, after: BackgroundTasks, user: str = Body(), password: str = Body()):
    answer = cognito.initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH",
        ClientId=os.environ["CLIENT_ID"],
        AuthParameters={"USERNAME": user, "PASSWORD": password},
    )
    token = answer["AuthenticationResult"]["AccessToken"]
    after.add_task(tell, token, request.client.host, request.headers.get("user-agent"))
    return {"access_token": token}

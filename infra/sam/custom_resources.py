import json
import os
import time
import urllib.request

from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import get_session

# One long attempt: a second one would have the work done twice.
ONCE = Config(region_name=os.environ["AWS_REGION"], read_timeout=780, retries={"total_max_attempts": 1})
functions = get_session().create_client("lambda", config=ONCE)
# A right that is new is not known everywhere at once; a function that was idle for weeks is woken first.
NOT_YET = ("AccessDeniedException", "ResourceConflictException")
NEVER_MADE = "never-made"


def invoke(function, request):
    for left in range(10, -1, -1):
        try:
            return functions.invoke(FunctionName=function, Payload=json.dumps(request))
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_YET or left == 0:
                raise
            time.sleep(5)


def handler(event, context):
    name = event.get("PhysicalResourceId", NEVER_MADE)
    answer = {key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")}
    answer |= {"Status": "SUCCESS", "PhysicalResourceId": name}
    function = event["ResourceProperties"]["AskedFunction"]
    try:
        if event["RequestType"] != "Delete" or name != NEVER_MADE:
            told = invoke(function, {**event, "ResponseURL": "..."})
            said = json.load(told["Payload"]) or {}
            if "FunctionError" in told:
                raise RuntimeError(said.get("errorMessage", "the function failed"))
            answer["Data"] = said.get("Data", {})
            if event["RequestType"] != "Delete":
                answer["PhysicalResourceId"] = said.get("PhysicalResourceId", name)
    except Exception as error:
        answer |= {"Status": "FAILED", "Reason": f"{error} ({function})"[:2000]}
    body = json.dumps(answer).encode()
    # Without a type: the address is signed for none.
    put = urllib.request.Request(event["ResponseURL"], body, {"Content-Type": ""}, method="PUT")
    for left in range(3, -1, -1):
        try:
            urllib.request.urlopen(put, timeout=15)
            return
        except OSError:
            if left == 0:
                raise
            time.sleep(2)

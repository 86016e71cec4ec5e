"""Reads CloudFormation's template of the construct as a plan of the module would have it: the same names, the same ARNs.

Must not know how either side calls its resources: what a function is, its program and its environment say; what a queue is, who
uses it.
"""

import json
import re

ACCOUNT, REGION, NAME = "123456789012", "eu-west-1", "user-sync"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/test/a-b-c-d-e",
}

OPERATIONS = {
    "schema": "migrator",
    "drift": "drift",
    "rows": "rows",
    "pool-triggers": "pool-triggers",
    "keep-triggers": "trigger-keeper",
    "audit": "audit",
    "deployment-check": "deployment-check",
}


def concept(program: str, environment: dict) -> str:
    """What a function is for."""
    if program == "user-sync-operator":
        return OPERATIONS[environment["USER_SYNC_OPERATION"]]
    if program == "user-sync-lifecycle" and "USER_SYNC_CONTEXT_QUEUE_URL" in environment:
        return "records"
    return program.removeprefix("user-sync-")


class Template:
    def __init__(self, template: dict):
        self.resources = template["Resources"]
        self.names: dict[str, str] = {}
        self._name_all()

    def of(self, kind: str) -> list[tuple[str, dict]]:
        """The resources of a type, with their properties; without those of CDK's own framework."""
        return [(id, r.get("Properties", {})) for id, r in self.resources.items() if r["Type"] == kind]

    def value(self, value):
        """A value as AWS would have it."""
        match value:
            case {"Ref": id}:
                return PSEUDO[id] if id in PSEUDO else self._ref(id)
            case {"Fn::GetAtt": [id, attribute]}:
                return self._attribute(id, attribute)
            case {"Fn::Join": [separator, parts]}:
                return separator.join(str(self.value(part)) for part in parts)
            case {"Fn::Split": [separator, text]}:
                return self.value(text).split(separator)
            case {"Fn::Select": [index, items]}:
                items = self.value(items)
                return items[int(index)]
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([\w:]+)\}", lambda match: str(self.value({"Ref": match[1]})), text)
            case dict():
                return {name: self.value(each) for name, each in value.items()}
            case list():
                return [self.value(each) for each in value]
        return value

    def functions(self) -> dict[str, tuple[str, dict]]:
        """The functions that run our programs, by what they are for: the id and the properties."""
        return self._functions

    def _name_all(self) -> None:
        self._functions = {}
        for id, resource in self.resources.items():
            if resource["Type"] == "AWS::Lambda::Function" and "Program" in resource:
                properties = resource["Properties"]
                name = concept(resource["Program"], properties["Environment"]["Variables"])
                self._functions[name] = (id, properties)
                self.names[id] = f"{NAME}-{name}"
                self.names[self._id(properties["Role"])] = f"{NAME}-{name}-{REGION}"
                self.names[self._id(properties["LoggingConfig"]["LogGroup"])] = f"/aws/lambda/{NAME}-{name}"
        self._name_queues()
        for id, _ in self.of("AWS::SSM::Parameter"):
            self.names[id] = f"{NAME}-triggers"
        for id, _ in self.of("AWS::Lambda::LayerVersion"):
            self.names[id] = f"{NAME}-certificates"
        for id, properties in self.of("AWS::EC2::SecurityGroup"):
            is_ours = properties["GroupDescription"].startswith("Connects to the database")
            self.names[id] = NAME if is_ours else f"{NAME}-endpoints"
        for id, properties in self.of("AWS::Events::Rule"):
            self.names[id] = f"{NAME}-{self._rule(properties)}"

    def _name_queues(self) -> None:
        def variable(function: str, name: str):
            found = self._functions.get(function)
            return found and found[1]["Environment"]["Variables"].get(name)

        for function, name, queue in (
            ("consumer", "USER_SYNC_QUEUE_URL", NAME),
            ("consumer", "USER_SYNC_DLQ_URL", f"{NAME}-dead-letters"),
            ("consumer", "USER_SYNC_CONTEXT_QUEUE_URL", f"{NAME}-contexts"),
            ("consumer", "USER_SYNC_CONTEXT_DLQ_URL", f"{NAME}-contexts-dead-letters"),
        ):
            reference = variable(function, name)
            if reference:
                self.names[self._id(reference)] = queue
        for _, properties in self.of("AWS::Lambda::EventInvokeConfig"):
            failure = properties.get("DestinationConfig", {}).get("OnFailure")
            if failure:
                function = self._id(properties["FunctionName"])
                is_records = self.names.get(function) == f"{NAME}-records"
                self.names[self._id(failure["Destination"])] = f"{NAME}-record-failures" if is_records else f"{NAME}-lifecycle-failures"
        for id, properties in self.of("AWS::SQS::Queue"):
            # What no function is told of is the queue of CloudTrail's records.
            if id not in self.names and "RedrivePolicy" in properties:
                self.names[id] = f"{NAME}-raw-records"
                self.names[self._id(properties["RedrivePolicy"]["deadLetterTargetArn"])] = f"{NAME}-raw-records-dead-letters"

    def _rule(self, properties: dict) -> str:
        """What a rule is for: whom it invokes with what, or which calls it waits for."""
        pattern, targets = properties.get("EventPattern"), properties["Targets"]
        if pattern is None:
            return {
                "heartbeat": "heartbeat",
                "maintain": "maintenance",
                "drift": "drift",
                "keep": "keep",
                "audit": "audit",
            }[next(iter(json.loads(targets[0]["Input"])))]
        if "responsePayload" in pattern["detail"]:
            return "drift-goes-on"
        calls = pattern["detail"]["eventName"]
        return "pool-changes" if "UpdateUserPool" in calls else "sign-ins" if "InitiateAuth" in calls else "lifecycle"

    @staticmethod
    def _id(reference) -> str:
        match reference:
            case {"Ref": id}:
                return id
            case {"Fn::GetAtt": [id, _]}:
                return id
        raise ValueError(f"no reference: {reference}")

    def _ref(self, id: str) -> str:
        name = self.names.get(id, f"<{id}>")
        match self.resources.get(id, {}).get("Type"):
            case "AWS::SQS::Queue":
                return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
            case "AWS::Lambda::LayerVersion":
                return f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}:1"
        return name

    def _attribute(self, id: str, attribute: str) -> str:
        name = self.names.get(id, f"<{id}>")
        match (self.resources[id]["Type"], attribute):
            case ("AWS::SQS::Queue", "Arn"):
                return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
            case ("AWS::SQS::Queue", "QueueName"):
                return name
            case ("AWS::Lambda::Function", "Arn"):
                return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
            case ("AWS::IAM::Role", "Arn"):
                return f"arn:aws:iam::{ACCOUNT}:role/{name}"
            case ("AWS::Logs::LogGroup", "Arn"):
                return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"
            case ("AWS::Events::Rule", "Arn"):
                return f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}"
            case ("AWS::EC2::SecurityGroup", "GroupId"):
                return f"sg-<{name}>"
        return f"<{id}.{attribute}>"

"""A provider in place of hashicorp/aws and hashicorp/archive: it plans, and speaks to nobody.

Run by Terraform as `stand_in.py NAME SCHEMA`. Must not know what is deployed: what is computed by AWS is a value that tells what
it is of, so that a plan can be read.
"""

import base64
import hashlib
import json
import sys

import msgpack
import tf.provider
import tf.runner
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc

REGION, ACCOUNT = "eu-west-1", "123456789012"

ARCHIVE = {
    "data.archive_file": {
        "attributes": {
            "type": {"type": "string", "required": True},
            "output_path": {"type": "string", "required": True},
            "source_file": {"type": "string"},
            "output_file_mode": {"type": "string"},
            "output_base64sha256": {"type": "string", "computed": True},
        },
        "blocks": {
            "source": {
                "nesting": "set",
                "attributes": {"content": {"type": "string", "required": True}, "filename": {"type": "string", "required": True}},
                "blocks": {},
            }
        },
    }
}


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


# By the type and the attribute: what AWS would say, from what was given.
COMPUTED = {
    ("aws_lambda_function", "arn"): lambda given: arn("lambda", f"function:{given['function_name']}"),
    ("aws_lambda_layer_version", "arn"): lambda given: arn("lambda", f"layer:{given['layer_name']}:1"),
    ("aws_lambda_invocation", "result"): lambda given: json.dumps({"PhysicalResourceId": attached(json.loads(given["input"]))}),
    ("aws_sqs_queue", "arn"): lambda given: arn("sqs", given["name"]),
    ("aws_sqs_queue", "url"): lambda given: f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{given['name']}",
    ("aws_iam_role", "arn"): lambda given: f"arn:aws:iam::{ACCOUNT}:role/{given['name']}",
    ("aws_cloudwatch_log_group", "arn"): lambda given: arn("logs", f"log-group:{given['name']}"),
    ("aws_cloudwatch_event_rule", "arn"): lambda given: arn("events", f"rule/{given['name']}"),
    ("aws_ssm_parameter", "arn"): lambda given: arn("ssm", f"parameter/{given['name']}"),
    ("aws_security_group", "id"): lambda given: f"sg-<{given['name']}>",
    ("data.aws_partition", "partition"): lambda given: "aws",
    ("data.aws_region", "region"): lambda given: REGION,
    ("data.aws_caller_identity", "account_id"): lambda given: ACCOUNT,
    ("data.aws_vpc", "cidr_block_associations"): lambda given: [
        {"association_id": "one", "cidr_block": "10.0.0.0/16", "state": "associated"},
        {"association_id": "two", "cidr_block": "10.1.0.0/16", "state": "associated"},
    ],
    ("data.archive_file", "output_base64sha256"): lambda given: digest(given["source_file"] or str(given["source"])),
}


def attached(payload: dict) -> str:
    """The name that the program gives the triggers. A pool that is called so was another one at the first apply."""
    pool = payload.get("ResourceProperties", {}).get("UserPoolId", "none")
    return f"user-sync-triggers/{pool.replace('Exchanged', 'Former')}/-,-"


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def encoded(kind) -> bytes:
    return json.dumps(kind).encode()


def block_of(schema: dict) -> pb.Schema.Block:
    nesting = {"single": pb.Schema.NestedBlock.SINGLE, "set": pb.Schema.NestedBlock.SET, "list": pb.Schema.NestedBlock.LIST}
    made = pb.Schema.Block()
    for name, attribute in sorted(schema["attributes"].items()):
        is_computed, is_required = attribute.get("computed", False), attribute.get("required", False)
        # The package does not tell which optional attributes AWS fills.
        made.attributes.append(
            pb.Schema.Attribute(
                name=name,
                type=encoded(attribute["type"]),
                required=is_required,
                optional=not is_required and not is_computed,
                computed=not is_required,
            )
        )
    for name, nested in sorted(schema["blocks"].items()):
        made.block_types.append(
            pb.Schema.NestedBlock(
                type_name=name,
                nesting=nesting[nested["nesting"]],
                block=block_of(nested),
                min_items=1 if nested.get("required") and nested["nesting"] != "single" else 0,
            )
        )
    return made


def read(value: pb.DynamicValue):
    return msgpack.unpackb(value.msgpack, raw=False, ext_hook=msgpack.ExtType, strict_map_key=False)


def write(value) -> pb.DynamicValue:
    return pb.DynamicValue(msgpack=msgpack.packb(value))


def filled(kind: str, schema: dict, value: dict) -> dict:
    for name in schema["attributes"]:
        if value.get(name) is None or isinstance(value[name], msgpack.ExtType) and (kind, name) in COMPUTED:
            make = COMPUTED.get((kind, name))
            value[name] = make(value) if make else None
    return value


class StandIn(rpc.ProviderServicer):
    def __init__(self, schemas: dict):
        self.schemas = schemas

    def GetMetadata(self, request, context):
        resources = [pb.GetMetadata.ResourceMetadata(type_name=name) for name in self.schemas if not name.startswith("data.")]
        sources = [pb.GetMetadata.DataSourceMetadata(type_name=name[5:]) for name in self.schemas if name.startswith("data.")]
        return pb.GetMetadata.Response(server_capabilities=pb.ServerCapabilities(), resources=resources, data_sources=sources)

    def GetProviderSchema(self, request, context):
        region = pb.Schema.Attribute(name="region", type=encoded("string"), optional=True)
        schemas = {name: pb.Schema(version=0, block=block_of(schema)) for name, schema in self.schemas.items()}
        return pb.GetProviderSchema.Response(
            provider=pb.Schema(version=0, block=pb.Schema.Block(attributes=[region])),
            provider_meta=pb.Schema(block=pb.Schema.Block()),
            resource_schemas={name: schema for name, schema in schemas.items() if not name.startswith("data.")},
            data_source_schemas={name[5:]: schema for name, schema in schemas.items() if name.startswith("data.")},
        )

    def ValidateProviderConfig(self, request, context):
        return pb.ValidateProviderConfig.Response()

    def ConfigureProvider(self, request, context):
        return pb.ConfigureProvider.Response()

    def ValidateResourceConfig(self, request, context):
        return pb.ValidateResourceConfig.Response()

    def ValidateDataResourceConfig(self, request, context):
        return pb.ValidateDataResourceConfig.Response()

    def ReadDataSource(self, request, context):
        kind = f"data.{request.type_name}"
        return pb.ReadDataSource.Response(state=write(filled(kind, self.schemas[kind], read(request.config))))

    def PlanResourceChange(self, request, context):
        proposed = read(request.proposed_new_state)
        if proposed is not None:
            proposed = filled(request.type_name, self.schemas[request.type_name], proposed)
        return pb.PlanResourceChange.Response(planned_state=write(proposed))

    def StopProvider(self, request, context):
        return pb.StopProvider.Response()


class Named:
    def __init__(self, name: str):
        self.name = name

    def full_name(self) -> str:
        return self.name


if __name__ == "__main__":
    name, schema = sys.argv[1:3]
    schemas = ARCHIVE if name == "archive" else json.load(open(schema))
    tf.provider.ProviderServicer = lambda provider: StandIn(schemas)
    tf.runner.run_provider(Named(f"hashicorp/{name}"), sys.argv)

"""What is deployed, as facts that can be compared: each a path, and what is there. From a plan, and from a template.

A fact's path names the concept, and no side's resource: `functions/drift/timeout`. What a side leaves out where the other says
AWS's default is said here, once.
"""

import json

from template import ACCOUNT, NAME, REGION, Template, concept

# What AWS takes where nothing is said.
QUEUE_DEFAULTS = {"VisibilityTimeout": 30, "ReceiveMessageWaitTimeSeconds": 0}
RETRIES = 2


def statements(policy: dict) -> dict:
    """Each action on each resource, under each condition: a statement more or less says the same."""
    found = {}
    for statement in policy["Statement"]:
        actions, resources = _list(statement["Action"]), _list(statement.get("Resource", "-"))
        principal = _plain(statement["Principal"]) if "Principal" in statement else None
        for action in actions:
            for resource in resources:
                key = " ".join(filter(None, [statement["Effect"], principal, action, "on", resource]))
                condition = statement.get("Condition")
                found[f"{key} if {_plain(condition)}" if condition else key] = True
    return found


def _list(value) -> list:
    return value if isinstance(value, list) else [value]


def _plain(value) -> str:
    return json.dumps(value, sort_keys=True)


def _section(description: str) -> str:
    return description.split('docs/runbook.md, "')[1].rstrip('".')


def _metric(namespace, name, dimensions, period, stat) -> dict:
    return {"namespace": namespace, "name": name, "dimensions": dict(sorted(dimensions.items())), "period": period, "stat": stat}


def _alarm(description, comparison, threshold, periods, datapoints, missing, actions, metrics, expression) -> tuple[str, dict]:
    names = sorted({metric["name"] + " " + metric["stat"] for metric in metrics.values()})
    return f"{_section(description)}: {', '.join(names)}", {
        "comparison": comparison,
        "threshold": threshold,
        "periods": periods,
        "datapoints": datapoints or periods,
        "missing": missing,
        "actions": actions,
        "metrics": metrics if expression else {"the one": next(iter(metrics.values()))},
        "expression": expression,
    }


def _transformed(transformer: dict | None, paths: str, template: str) -> str | None:
    """What the input transformer makes, whatever its variables are called."""
    if not transformer:
        return None
    text = transformer[template]
    for name, path in transformer[paths].items():
        text = text.replace(f"<{name}>", f"<{path}>")
    return text


def of_template(source: dict) -> dict:
    read = Template(source)
    facts: dict = {}
    roles = {}
    for name, (id, properties) in read.functions().items():
        given = read.value(properties)
        role = read._id(properties["Role"])
        roles[role] = name
        log = read.resources[read._id(properties["LoggingConfig"]["LogGroup"])]
        facts[f"functions/{name}"] = {
            "program": read.resources[id]["Program"],
            "timeout": given["Timeout"],
            "memory": given["MemorySize"],
            "architecture": given.get("Architectures", ["x86_64"])[0],
            "runtime": given["Runtime"],
            "in the VPC": "VpcConfig" in given,
            "layers": given.get("Layers", []),
            "reserved concurrency": given.get("ReservedConcurrentExecutions"),
            "tracing": given.get("TracingConfig", {}).get("Mode"),
            "recursive loop": given.get("RecursiveLoop"),
            "tag": next((tag["Value"] for tag in given.get("Tags", []) if tag["Key"] == "user-sync:program"), None),
            "environment": given["Environment"]["Variables"],
            "log": {
                "retention": log["Properties"]["RetentionInDays"],
                "key": read.value(log["Properties"].get("KmsKeyId")),
                "stays": log.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate"),
            },
            "trust": statements(read.value(read.resources[role]["Properties"]["AssumeRolePolicyDocument"])),
            "managed policies": read.value(read.resources[role]["Properties"].get("ManagedPolicyArns", [])),
            "retries": RETRIES,
            "on failure": None,
            "on success": None,
            "may": {},
        }
        for policy in read.resources[role]["Properties"].get("Policies", []):
            facts[f"functions/{name}"]["may"].update(statements(read.value(policy["PolicyDocument"])))
    for _, properties in read.of("AWS::IAM::Policy"):
        for role in properties["Roles"]:
            if read._id(role) in roles:
                facts[f"functions/{roles[read._id(role)]}"]["may"].update(statements(read.value(properties["PolicyDocument"])))
    for _, properties in read.of("AWS::Lambda::EventInvokeConfig"):
        given = read.value(properties)
        function = facts[f"functions/{given['FunctionName'].removeprefix(NAME + '-')}"]
        function["retries"] = given.get("MaximumRetryAttempts", RETRIES)
        destinations = given.get("DestinationConfig", {})
        function["on failure"] = destinations.get("OnFailure", {}).get("Destination")
        function["on success"] = destinations.get("OnSuccess", {}).get("Destination")
    for id, properties in read.of("AWS::SQS::Queue"):
        given = {**QUEUE_DEFAULTS, **read.value(properties)}
        redrive = given.get("RedrivePolicy")
        allow = given.get("RedriveAllowPolicy")
        facts[f"queues/{read.names[id]}"] = {
            "visibility timeout": given["VisibilityTimeout"],
            "wait": given["ReceiveMessageWaitTimeSeconds"],
            "retention": given["MessageRetentionPeriod"],
            "SQS's own key": bool(given.get("SqsManagedSseEnabled")),
            "key": given.get("KmsMasterKeyId"),
            "redrive": redrive and [redrive["deadLetterTargetArn"], redrive["maxReceiveCount"]],
            # The construct says the source's ARN by its name, which only the deployment knows.
            "redriven by": allow and [allow["redrivePermission"], len(allow["sourceQueueArns"])],
            "stays": read.resources[id].get("DeletionPolicy") == "Retain",
            "policy": {},
        }
    for _, properties in read.of("AWS::SQS::QueuePolicy"):
        given = read.value(properties)
        for url in given["Queues"]:
            facts[f"queues/{url.rpartition('/')[2]}"]["policy"].update(statements(given["PolicyDocument"]))
    for _, properties in read.of("AWS::Lambda::EventSourceMapping"):
        given = read.value(properties)
        facts[f"mappings/{given['EventSourceArn'].rpartition(':')[2]}"] = {
            "function": _function(given["FunctionName"]),
            "batch": given["BatchSize"],
            "window": given["MaximumBatchingWindowInSeconds"],
            "concurrency": given["ScalingConfig"]["MaximumConcurrency"],
            "answers": given["FunctionResponseTypes"],
        }
    for id, properties in read.of("AWS::Events::Rule"):
        given = read.value(properties)
        facts[f"rules/{read.names[id]}"] = {
            "schedule": given.get("ScheduleExpression"),
            "pattern": given.get("EventPattern"),
            "targets": {
                target["Arn"]: {
                    "input": _json(target.get("Input")),
                    "transformed": _transformed(target.get("InputTransformer"), "InputPathsMap", "InputTemplate"),
                    "dead letters": target.get("DeadLetterConfig", {}).get("Arn"),
                }
                for target in given["Targets"]
            },
        }
    for _, properties in read.of("AWS::Lambda::Permission"):
        given = read.value(properties)
        facts[f"permissions/{given['Principal']} {given['SourceArn']} on {_function(given['FunctionName'])}"] = {
            "action": given["Action"],
            "account": given.get("SourceAccount"),
        }
    for _, properties in read.of("AWS::CloudWatch::Alarm"):
        given = read.value(properties)
        metrics, expression = {}, None
        for query in given.get("Metrics", []):
            if "Expression" in query:
                expression = query["Expression"]
                continue
            of = query["MetricStat"]["Metric"]
            dimensions = {each["Name"]: each["Value"] for each in of["Dimensions"]}
            metrics[query["Id"]] = _metric(
                of["Namespace"], of["MetricName"], dimensions, query["MetricStat"]["Period"], query["MetricStat"]["Stat"]
            )
        if "MetricName" in given:
            dimensions = {each["Name"]: each["Value"] for each in given["Dimensions"]}
            stat = given.get("Statistic") or given["ExtendedStatistic"]
            metrics["m"] = _metric(given["Namespace"], given["MetricName"], dimensions, given["Period"], stat)
        key, alarm = _alarm(
            given["AlarmDescription"],
            given["ComparisonOperator"],
            given["Threshold"],
            given["EvaluationPeriods"],
            given.get("DatapointsToAlarm"),
            given["TreatMissingData"],
            [given.get("AlarmActions", []), given.get("OKActions", [])],
            metrics,
            expression,
        )
        facts[f"alarms/{key}"] = alarm
    for kind, name in (
        ("Custom::UserSyncSchema", "schema"),
        ("Custom::UserSyncPoolTriggers", "pool-triggers"),
        ("Custom::UserSyncDeploymentCheck", "deployment-check"),
    ):
        for _, properties in read.of(kind):
            given = read.value({key: value for key, value in properties.items() if key not in ("ServiceToken", "ServiceTimeout")})
            # What changes with each build or deployment is there; what it is differs.
            facts[f"invocations/{name}"] = {key: True if key in ("Code", "Deployment") else value for key, value in given.items()}
    for _, properties in read.of("AWS::SSM::Parameter"):
        given = read.value(properties)
        facts["parameters/triggers"] = {"value": given["Value"], "type": given["Type"]}
    for _, properties in read.of("AWS::Logs::SubscriptionFilter"):
        given = read.value(properties)
        facts["subscriptions/user auth events"] = {
            "log group": given["LogGroupName"],
            "function": _function(given["DestinationArn"]),
            "pattern": given["FilterPattern"],
        }
    lets_out, lets_in = {}, {}
    for id, properties in read.of("AWS::EC2::SecurityGroup"):
        given = read.value(properties)
        for rule in given.get("SecurityGroupEgress", []):
            # Where nothing is let out, CDK says so by a rule that matches nothing.
            if rule["CidrIp"] != "255.255.255.255/32":
                lets_out[_rule(read.names[id], rule.get("FromPort", "all"), rule["CidrIp"])] = True
        for rule in given.get("SecurityGroupIngress", []):
            lets_in[_rule(read.names[id], rule.get("FromPort", "all"), rule.get("CidrIp") or rule.get("SourceSecurityGroupId"))] = True
    for _, properties in read.of("AWS::EC2::SecurityGroupEgress"):
        given = read.value(properties)
        lets_out[_rule(_group(given["GroupId"]), given.get("FromPort", "all"), given.get("CidrIp") or given["DestinationSecurityGroupId"])] = True
    for _, properties in read.of("AWS::EC2::SecurityGroupIngress"):
        given = read.value(properties)
        lets_in[_rule(_group(given["GroupId"]), given.get("FromPort", "all"), given.get("CidrIp") or given["SourceSecurityGroupId"])] = True
    facts["network"] = {"lets out": lets_out, "lets in": lets_in}
    for _, properties in read.of("AWS::EC2::VPCEndpoint"):
        given = read.value(properties)
        facts[f"endpoints/{given['ServiceName'].rpartition('.')[2]}"] = {
            "type": given["VpcEndpointType"],
            "private DNS": given["PrivateDnsEnabled"],
            "subnets": sorted(given["SubnetIds"]),
        }
    if read.of("AWS::CloudWatch::Dashboard"):
        facts["dashboard"] = {"is there": True}
    for kind in ("AWS::SecretsManager::Secret", "AWS::ECS::Service"):
        if read.of(kind):
            raise SystemExit(f"a case has {kind}, which the module does not make: it cannot be compared")
    return facts


def of_plan(plan: dict) -> dict:
    resources = list(_resources(plan["planned_values"]["root_module"]))

    def of(kind: str) -> list[dict]:
        return [resource["values"] for resource in resources if resource["type"] == kind and resource["mode"] == "managed"]

    facts: dict = {}
    logs = {log["name"]: log for log in of("aws_cloudwatch_log_group")}
    roles = {role["arn"]: role for role in of("aws_iam_role")}
    programs = {data["output_path"]: data["source_file"].split("/")[-2] for data in _archives(plan) if data.get("source_file")}
    of_role = {}
    for given in of("aws_lambda_function"):
        variables = given["environment"][0]["variables"]
        program = programs[given["filename"]]
        name, log = concept(program, variables), logs[given["logging_config"][0]["log_group"]]
        of_role[roles[given["role"]]["name"]] = name
        reserved = given["reserved_concurrent_executions"]
        facts[f"functions/{name}"] = {
            "program": program,
            "timeout": given["timeout"],
            "memory": given["memory_size"],
            "architecture": given["architectures"][0],
            "runtime": given["runtime"],
            "in the VPC": bool(given["vpc_config"]),
            "layers": given["layers"] or [],
            "reserved concurrency": None if reserved == -1 else reserved,
            "tracing": given["tracing_config"][0]["mode"] if given["tracing_config"] else None,
            "recursive loop": None,
            "tag": (given["tags"] or {}).get("user-sync:program"),
            "environment": variables,
            "log": {"retention": log["retention_in_days"], "key": log["kms_key_id"], "stays": bool(log["skip_destroy"])},
            "trust": statements(json.loads(roles[given["role"]]["assume_role_policy"])),
            "managed policies": [],
            "retries": RETRIES,
            "on failure": None,
            "on success": None,
            "may": {},
        }
    for given in of("aws_iam_role_policy"):
        facts[f"functions/{of_role[given['role']]}"]["may"].update(statements(json.loads(given["policy"])))
    for given in of("aws_lambda_function_event_invoke_config"):
        function = facts[f"functions/{given['function_name'].removeprefix(NAME + '-')}"]
        retries = given["maximum_retry_attempts"]
        function["retries"] = RETRIES if retries is None else retries
        for destinations in given["destination_config"]:
            for kind in ("on_failure", "on_success"):
                for destination in destinations[kind]:
                    function[kind.replace("_", " ")] = destination["destination"]
    for given in of("aws_lambda_function_recursion_config"):
        facts[f"functions/{given['function_name'].removeprefix(NAME + '-')}"]["recursive loop"] = given["recursive_loop"]
    kept = _kept(plan)
    for given in of("aws_sqs_queue"):
        redrive = json.loads(given["redrive_policy"]) if given["redrive_policy"] else None
        facts[f"queues/{given['name']}"] = {
            "visibility timeout": given["visibility_timeout_seconds"] or QUEUE_DEFAULTS["VisibilityTimeout"],
            "wait": given["receive_wait_time_seconds"] or QUEUE_DEFAULTS["ReceiveMessageWaitTimeSeconds"],
            "retention": given["message_retention_seconds"],
            "SQS's own key": bool(given["sqs_managed_sse_enabled"]),
            "key": given["kms_master_key_id"],
            "redrive": redrive and [redrive["deadLetterTargetArn"], redrive["maxReceiveCount"]],
            "redriven by": None,
            "stays": given["name"] in kept,
            "policy": {},
        }
    for given in of("aws_sqs_queue_redrive_allow_policy"):
        allow = json.loads(given["redrive_allow_policy"])
        facts[f"queues/{given['queue_url'].rpartition('/')[2]}"]["redriven by"] = [
            allow["redrivePermission"],
            len(allow["sourceQueueArns"]),
        ]
    for given in of("aws_sqs_queue_policy"):
        facts[f"queues/{given['queue_url'].rpartition('/')[2]}"]["policy"].update(statements(json.loads(given["policy"])))
    for given in of("aws_lambda_event_source_mapping"):
        facts[f"mappings/{given['event_source_arn'].rpartition(':')[2]}"] = {
            "function": _function(given["function_name"]),
            "batch": given["batch_size"],
            "window": given["maximum_batching_window_in_seconds"],
            "concurrency": given["scaling_config"][0]["maximum_concurrency"],
            "answers": given["function_response_types"],
        }
    for given in of("aws_cloudwatch_event_rule"):
        facts[f"rules/{given['name']}"] = {
            "schedule": given["schedule_expression"],
            "pattern": _json(given["event_pattern"]),
            "targets": {},
        }
    for given in of("aws_cloudwatch_event_target"):
        facts[f"rules/{given['rule']}"]["targets"][given["arn"]] = {
            "input": _json(given["input"]),
            "transformed": _transformed(next(iter(given["input_transformer"]), None), "input_paths", "input_template"),
            "dead letters": next((config["arn"] for config in given["dead_letter_config"]), None),
        }
    for given in of("aws_lambda_permission"):
        facts[f"permissions/{given['principal']} {given['source_arn']} on {_function(given['function_name'])}"] = {
            "action": given["action"],
            "account": given["source_account"],
        }
    for given in of("aws_cloudwatch_metric_alarm"):
        metrics, expression = {}, None
        for query in given["metric_query"]:
            if query["expression"]:
                expression = query["expression"]
                continue
            [each] = query["metric"]
            metrics[query["id"]] = _metric(each["namespace"], each["metric_name"], each["dimensions"], each["period"], each["stat"])
        if given["metric_name"]:
            stat = given["statistic"] or given["extended_statistic"]
            metrics["m"] = _metric(given["namespace"], given["metric_name"], given["dimensions"], given["period"], stat)
        key, alarm = _alarm(
            given["alarm_description"],
            given["comparison_operator"],
            given["threshold"],
            given["evaluation_periods"],
            given["datapoints_to_alarm"],
            given["treat_missing_data"],
            [given["alarm_actions"] or [], given["ok_actions"] or []],
            metrics,
            expression,
        )
        facts[f"alarms/{key}"] = alarm
    for given in of("aws_lambda_invocation"):
        asked = json.loads(given["input"])
        name = {"migrator": "schema"}.get(*[given["function_name"].removeprefix(f"{NAME}-")] * 2)
        properties = asked.get("ResourceProperties", {})
        triggers = {"Code": True, "Deployment": True} if given["triggers"] else {}
        # Of the two that set the triggers, the one that is asked again has all.
        if asked.get("RequestType") != "Create" or name != "pool-triggers":
            facts[f"invocations/{name}"] = {
                **{key: True if key in ("Code", "Deployment") else value for key, value in properties.items()},
                **triggers,
            }
    for given in of("aws_ssm_parameter"):
        facts["parameters/triggers"] = {"value": given["value"], "type": given["type"]}
    for given in of("aws_cloudwatch_log_subscription_filter"):
        facts["subscriptions/user auth events"] = {
            "log group": given["log_group_name"],
            "function": _function(given["destination_arn"]),
            "pattern": given["filter_pattern"],
        }
    facts["network"] = {
        "lets out": {
            _rule(_group(given["security_group_id"]), given["from_port"], given["cidr_ipv4"] or given["referenced_security_group_id"]): True
            for given in of("aws_vpc_security_group_egress_rule")
        },
        "lets in": {
            _rule(_group(given["security_group_id"]), given["from_port"], given["cidr_ipv4"] or given["referenced_security_group_id"]): True
            for given in of("aws_vpc_security_group_ingress_rule")
        },
    }
    for given in of("aws_vpc_endpoint"):
        facts[f"endpoints/{given['service_name'].rpartition('.')[2]}"] = {
            "type": given["vpc_endpoint_type"],
            "private DNS": given["private_dns_enabled"],
            "subnets": sorted(given["subnet_ids"]),
        }
    return facts


def _resources(module: dict):
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _archives(plan: dict):
    for resource in _resources(plan["prior_state"]["values"]["root_module"]):
        if resource["type"] == "archive_file":
            yield resource["values"]


def _kept(plan: dict) -> set[str]:
    """The queues that Terraform destroys for nobody: all of the module `queues`. A plan does not say `prevent_destroy`."""
    return {
        resource["values"]["name"]
        for module in plan["planned_values"]["root_module"]["child_modules"]
        for resource in module.get("resources", [])
        if resource["type"] == "aws_sqs_queue"
    }


def _json(text):
    return json.loads(text) if isinstance(text, str) else text


def _function(name_or_arn: str) -> str:
    return name_or_arn.rpartition(":")[2]


def _group(id: str) -> str:
    return id.removeprefix("sg-<").removesuffix(">") if id.startswith("sg-<") else id


def _rule(group: str, port: int, peer: str) -> str:
    return f"{group} {port} {_group(peer)}"


def flat(facts, path: str = "") -> dict:
    """Each leaf by its path."""
    if isinstance(facts, dict) and facts:
        found: dict = {}
        for key, value in facts.items():
            found.update(flat(value, f"{path}/{key}" if path else str(key)))
        return found
    return {path: facts}

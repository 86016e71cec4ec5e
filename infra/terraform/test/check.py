#!/usr/bin/env python3
"""Checks the Terraform module without AWS and without a network: format, validity, a plan of each case, the plans beside what the
construct deploys, what is refused, the example, and the table of settings.

`check.py [--only CASE] [--keep FOLDER]`: one case; and the plans and templates for a look.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import compare
import settings
from plans import CASES, Planned
from terraform import MODULE, Terraform

INFRA = MODULE.parent

# What cannot be, and a word of what is said of it. Terraform says all that is wrong with a plan at once, so many are tried
# together: in several plans, since some would be right beside others.
REFUSED = [
    [
        ({"user_pool_id": "us-east-1_Abc123Def"}, "must be of the provider's Region"),
        ({"database_resource_id": None}, "database_resource_id must be given"),
        ({"admin_secret_arn": None}, "admin_secret_arn must be given"),
        ({"batch_size": 11, "max_batching_window_seconds": 0}, "must be 1 at least"),
        ({"keep_triggers": True, "attach_triggers": False}, "who sets the triggers keeps them"),
        ({"endpoints": {"sqs": True}}, "on_imported_vpc = true"),
        ({"role_prefix": "pg_sync"}, "not with pg_"),
        ({"log_retention_days": 100}, "one of those that CloudWatch Logs takes"),
        ({"heartbeat_interval_seconds": 90}, "whole minutes from 60 to 3600"),
        ({"alarm_thresholds": {"heartbeat_intervals": 1}}, "heartbeat_intervals from 2 to 24"),
        ({"login_context": {"clients": ["one"]}}, "there is nothing to read else"),
        ({"schema": "information_schema"}, "not one of PostgreSQL's own"),
    ],
    [
        ({"database_resource_id": "prx-0123"}, "A proxy cannot be the database here"),
        ({"database_auth": "secret"}, "consumer_secret_arn must be given"),
        ({"record_retention_days": 90, "migrations": False}, "must be left out with migrations = false"),
        ({"certificate_authorities": "/nowhere.pem"}, "curl -O"),
        ({"code": "/nowhere"}, "run `make lambda` first"),
        ({"user_pool_id": "Abc123Def"}, "such as eu-west-1_Abc123Def"),
    ],
    [({"user_pool_id": "eu-west-1_Exchanged"}, "user_pool_id must stay what it was")],
]


def node(script: str, *arguments: str) -> subprocess.Popen:
    """What Node says is shown only if it fails: CDK warns of each template."""
    said = tempfile.TemporaryFile("w+")
    started = subprocess.Popen(["node", "--import", "tsx", f"terraform/test/{script}", *arguments], cwd=INFRA, stdout=said, stderr=said)
    started.said = said
    return started


def ended(process: subprocess.Popen, what: str) -> None:
    if process.wait():
        process.said.seek(0)
        raise SystemExit(f"{what} failed:\n{process.said.read()}")


def refusals(planned: Planned) -> list[str]:
    wrong = []
    for together in REFUSED:
        changes = {name: value for each, _ in together for name, value in each.items()}
        said = _errors(planned.refusal(changes))
        wrong += [f"not refused with {message!r}: {json.dumps(each)}" for each, message in together if message not in said]
        if wrong:
            return [*wrong, f"said was: {said}"]
    return wrong


def examples(terraform: Terraform, planned: Planned) -> list[str]:
    """Each example plans, where the module is in a checkout in which `make lambda` has run, and README.md has it."""
    wrong = []
    repository = terraform.folder / "repository"
    shutil.copytree(MODULE, repository / "infra" / "terraform", ignore=shutil.ignore_patterns("test", ".terraform*"))
    (repository / "dist").symlink_to(planned.dist)
    for folder in sorted((repository / "infra" / "terraform" / "examples").iterdir()):
        shutil.copy(planned.dist / "bundle.pem", folder / "global-bundle.pem")
        for command in ("init", "plan"):
            result = terraform.run(command, "-no-color", "-input=false", folder=folder)
            if result.returncode:
                wrong.append(f"examples/{folder.name}: {command}: {_errors(result.stdout + result.stderr)}")
        module = (folder / "main.tf").read_text().split('module "user_sync"')[1].split("\n}\n")[0]
        if module not in (MODULE / "README.md").read_text():
            wrong.append(f"README.md has another module than examples/{folder.name}")
    return wrong


def _errors(said: str) -> str:
    """What Terraform says is wrong, without the plan before it. It breaks lines, and draws one beside them."""
    said = " ".join(said.replace("│", " ").split())
    return said[said.find("Error:") :] if "Error:" in said else said


# Changes of a plan that the comparison must find: a right that is wider, a function in the VPC, silence that is well, a queue that
# forgets, and a function that does something else.
CHANGED = [
    ("aws_iam_role_policy", "policy", lambda text: text.replace("sqs:SendMessage", "sqs:*"), "/may/Allow sqs:*"),
    ("aws_lambda_function", "vpc_config", lambda given: [] if given else [{}], "/in the VPC"),
    ("aws_cloudwatch_metric_alarm", "treat_missing_data", lambda _: "missing", "/missing"),
    ("aws_sqs_queue", "message_retention_seconds", lambda _: 60, "/retention"),
    ("aws_lambda_function", None, None, "/program"),
]


def finds(case: str, plan: dict, template: dict) -> list[str]:
    """Whether the comparison would find what is different."""
    wrong = []
    for kind, attribute, change, path in CHANGED:
        changed = json.loads(json.dumps(plan))
        for module in [changed["planned_values"]["root_module"], *_below(changed["planned_values"]["root_module"])]:
            for resource in list(module.get("resources", [])):
                if resource["type"] == kind and attribute:
                    resource["values"][attribute] = change(resource["values"][attribute])
                elif resource["type"] == kind and resource["values"]["function_name"].endswith("-rows"):
                    resource["values"]["environment"][0]["variables"]["USER_SYNC_OPERATION"] = "audit"
        if not any(path in found for found, _, _ in compare.differences(case, changed, template)):
            wrong.append(f"the comparison does not find another {path} of {kind}")
    return wrong


def _below(module: dict):
    for child in module.get("child_modules", []):
        yield child
        yield from _below(child)


# What comes after what. A plan's resources do not say it; its configuration does.
ORDER = {
    "consumer": "aws_lambda_invocation.schema",
    "rows": "aws_lambda_invocation.schema",
    "audit": "aws_lambda_invocation.schema",
    "lifecycle": "module.consumer",
    "records": "module.consumer",
    "heartbeat": "aws_lambda_invocation.pool_triggers",
    "pool_changes": "aws_lambda_invocation.pool_triggers",
}


def ordered(plan: dict) -> list[str]:
    """Migrations before code, consumers before who sends, triggers before who looks whether they are there."""
    calls = plan["configuration"]["root_module"]["module_calls"]
    return [f"module.{name} does not wait for {first}" for name, first in ORDER.items() if first not in calls[name].get("depends_on", [])]


def unowned() -> list[str]:
    """Whoever owns a pool resets it."""
    owning = [file.name for file in MODULE.rglob("*.tf") if 'resource "aws_cognito' in file.read_text()]
    return [f"{name} owns a part of a user pool, which the module must not" for name in owning]


def kept() -> list[str]:
    """What no plan says: that queues which hold events are kept, and that a pool may call the trigger until it no longer does."""
    wrong = []
    queues = _resource("modules/queues/main.tf", "aws_sqs_queue")
    if len(queues) != 2 or not all("prevent_destroy = true" in queue for queue in queues):
        wrong.append("modules/queues keeps not both of its queues")
    if not all("create_before_destroy = true" in permission for permission in _resource("trigger.tf", "aws_lambda_permission")):
        wrong.append("trigger.tf takes the pool's permission away before it gives another")
    invocations = _resource("pool_triggers.tf", "aws_lambda_invocation")
    if len(invocations) != 2 or not all(re.search(r'^  lifecycle_scope += "CRUD"$', each, re.M) for each in invocations):
        wrong.append("pool_triggers.tf has an invocation that leaves the pool's triggers at the end")
    return wrong


def _resource(file: str, kind: str) -> list[str]:
    return re.findall(rf'^resource "{kind}" .*?^\}}$', (MODULE / file).read_text(), re.M | re.S)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    cases = {name: CASES[name] for name in CASES if given.only in (None, name)}
    with Terraform() as terraform:
        formatted = terraform.run("fmt", "-check", "-diff", "-recursive", str(MODULE))
        wrong = [f"not formatted: terraform fmt -recursive infra/terraform\n{formatted.stdout}"] if formatted.returncode else []
        planned = Planned(terraform)
        files = {name: terraform.folder / f"{name}.json" for name in ("templates", "props")}
        construct = node("construct.ts", str(planned.dist), str(files["templates"]))
        props = node("props.ts", str(files["props"]))
        planned.validate()
        plans = {name: planned.case(changes) for name, changes in cases.items()}
        wrong += refusals(planned) + examples(terraform, planned) + kept() + unowned()
        ended(props, "reading the construct's props")
        wrong += settings.of_module() + settings.of_itself() + settings.of_readme()
        wrong += settings.of_construct(json.loads(files["props"].read_text()))
        ended(construct, "synthesizing the construct")
        templates = json.loads(files["templates"].read_text())
        wrong += compare.compare(plans, templates, all_cases=given.only is None)
        first = next(iter(plans))
        wrong += ordered(plans[first])
        wrong += finds(first, plans[first], templates[first])
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            for name, plan in plans.items():
                (given.keep / f"{name}.plan.json").write_text(json.dumps(plan, indent=1))
                (given.keep / f"{name}.template.json").write_text(json.dumps(templates[name], indent=1))
    for each in wrong:
        print(each, file=sys.stderr)
    print(f"terraform: {len(cases)} cases, {sum(map(len, REFUSED))} refusals, {len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

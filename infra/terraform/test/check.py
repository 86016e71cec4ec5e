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

# What cannot be, and a word of what is said of it.
REFUSED = [
    ({"user_pool_id": "us-east-1_Abc123Def"}, "must be of the provider's Region"),
    ({"database_resource_id": None}, "database_resource_id must be given"),
    ({"database_resource_id": "prx-0123"}, "A proxy cannot be the database here"),
    ({"admin_secret_arn": None}, "admin_secret_arn must be given"),
    ({"certificate_authorities": "/nowhere.pem"}, "curl -O"),
    ({"code": "/nowhere"}, "run `make lambda` first"),
    ({"batch_size": 11, "max_batching_window_seconds": 0}, "must be 1 at least"),
    ({"keep_triggers": True, "attach_triggers": False}, "who sets the triggers keeps them"),
    ({"database_auth": "secret"}, "consumer_secret_arn must be given"),
    ({"endpoints": {"sqs": True}}, "on_imported_vpc = true"),
    ({"role_prefix": "pg_sync"}, "not with pg_"),
    ({"log_retention_days": 100}, "one of those that CloudWatch Logs takes"),
    ({"heartbeat_interval_seconds": 90}, "whole minutes from 60 to 3600"),
    ({"record_retention_days": 90, "migrations": False}, "must be left out with migrations = false"),
    ({"alarm_thresholds": {"heartbeat_intervals": 1}}, "heartbeat_intervals from 2 to 24"),
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
    """All at once: Terraform says every refusal of a plan. Those of one variable need a plan each."""
    wrong, left = [], list(REFUSED)
    while left:
        together, later = {}, []
        expected = []
        for changes, message in left:
            if any(name in together for name in changes) or _excludes(together, changes):
                later.append((changes, message))
            else:
                together.update(changes)
                expected.append((changes, message))
        said = " ".join(re.sub(r"[│\s]+", " ", planned.refusal(together)).split())
        wrong += [f"not refused with {message!r}: {json.dumps(changes)}; said was: {said}" for changes, message in expected if message not in said]
        left = later
    return wrong


def _excludes(together: dict, changes: dict) -> bool:
    """Whether what is refused of one is what another needs."""
    return bool({"code", "certificate_authorities"} & {*together, *changes}) and bool(together)


def example(terraform: Terraform) -> list[str]:
    """Each example is a valid root module."""
    wrong = []
    for folder in sorted((MODULE / "examples").iterdir()):
        copy = terraform.folder / "copy" / "examples" / folder.name
        shutil.copytree(MODULE, terraform.folder / "copy", ignore=shutil.ignore_patterns("test", ".terraform*"), dirs_exist_ok=True)
        for command in (("init", "-no-color", "-input=false"), ("validate", "-no-color")):
            result = terraform.run(*command, folder=copy)
            if result.returncode:
                wrong.append(f"examples/{folder.name}: {command[0]}: {result.stdout}{result.stderr}")
        if (copy / "main.tf").read_text().split('module "user_sync"')[1].split("\n}\n")[0] not in (MODULE / "README.md").read_text():
            wrong.append(f"README.md has not the module of examples/{folder.name}")
    return wrong


def kept() -> list[str]:
    """That queues which hold events are kept no plan says."""
    text = (MODULE / "modules" / "queues" / "main.tf").read_text()
    queues = re.findall(r'^resource "aws_sqs_queue" .*?^\}$', text, re.M | re.S)
    return [] if len(queues) == 2 and all("prevent_destroy = true" in queue for queue in queues) else ["modules/queues keeps not both of its queues"]


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
        wrong += refusals(planned) + example(terraform) + kept()
        ended(props, "reading the construct's props")
        wrong += settings.of_module() + settings.of_itself() + settings.of_readme()
        wrong += settings.of_construct(json.loads(files["props"].read_text()))
        ended(construct, "synthesizing the construct")
        templates = json.loads(files["templates"].read_text())
        wrong += compare.compare(plans, templates, all_cases=given.only is None)
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            for name, plan in plans.items():
                (given.keep / f"{name}.plan.json").write_text(json.dumps(plan, indent=1))
                (given.keep / f"{name}.template.json").write_text(json.dumps(templates[name], indent=1))
    for each in wrong:
        print(each, file=sys.stderr)
    print(f"terraform: {len(cases)} cases, {len(REFUSED)} refusals, {len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

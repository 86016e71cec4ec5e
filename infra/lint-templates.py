#!/usr/bin/env python3
"""Checks CloudFormation templates with cfn-lint: `lint-templates.py VERSION TEMPLATE…`.

Installs that version into the user's cache, the first time, for each Python.
"""

import os
import subprocess
import sys
from pathlib import Path

version, templates = sys.argv[1], sys.argv[2:]
cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "user-sync"
folder = cache / f"cfn-lint-{version}-py{sys.version_info[0]}.{sys.version_info[1]}"
if not (folder / "complete").exists():
    print(f"installing cfn-lint {version} into {cache} (once)", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([*pip, "--upgrade", "--target", folder, f"cfn-lint=={version}"], check=True)
    (folder / "complete").touch()
lint = [sys.executable, "-c", "import sys; from cfnlint.runner import main; sys.exit(main())"]
# W3005: that CDK names a dependency twice is no fault of the template.
done = subprocess.run(
    [*lint, "--ignore-checks", "W3005", "--", *templates],
    env={**os.environ, "PYTHONPATH": str(folder)},
)
print(f"cfn-lint: {len(templates)} templates, exit code {done.returncode}", file=sys.stderr)
sys.exit(done.returncode)

"""Holds the module's variables and the construct's props against infra/settings.json, the one table of settings.

`settings.py --write` writes the table of README.md again.
"""

import json
import re
import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parent.parent
TABLE: list[dict] = json.loads((MODULE.parent / "settings.json").read_text())

# Defaults that the construct says in a class of its own or CDK's, and the module in a word.
SAME = {
    "DatabaseAuth.iam()": "iam",
    "DriftCheck.daily()": 86_400,
    "Migrations.RUN": True,
    "PoolTriggers.attach()": True,
    "UserSyncCompute.lambda()": None,
    "RemovalPolicy.RETAIN": None,
    "lambda.ApplicationLogLevel.INFO": None,
    "lambda.Architecture.X86_64": "x86_64",
    "lambda.Tracing.DISABLED": None,
    "logs.RetentionDays.THREE_MONTHS": 90,
}
SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}
BEGIN, END = "<!-- variables:begin -->", "<!-- variables:end -->"
REQUIRED = object()


def variables() -> dict:
    """The variables of the module with their defaults, those of objects by their attributes."""
    found = {}
    text = "\n".join(file.read_text() for file in sorted(MODULE.glob("variables*.tf")))
    for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)\n\}$', text, re.M | re.S):
        attributes = re.findall(r"^    (\w+)\s+= optional\((?:string|number|bool|list\(string\))(?:, (.+))?\)$", body, re.M)
        if re.search(r"^  type\s+= object\(", body, re.M) and attributes:
            found.update({f"{name}.{attribute}": _literal(default or "null") for attribute, default in attributes})
            continue
        default = re.search(r"^  default\s+= (.+)$", body, re.M)
        found[name] = _literal(default[1]) if default else REQUIRED
    return found


def _literal(text: str):
    value = json.loads(text)
    return None if value == [] else value


def of_module() -> list[str]:
    """What the table and the module say differently."""
    ours, wrong = variables(), []
    listed = {row["terraform"]: row for row in reversed(TABLE) if row["terraform"]}
    wrong += [f"settings.json has no row with the variable {name}" for name in ours if name not in listed]
    for name, row in listed.items():
        if name not in ours:
            wrong.append(f"settings.json names the variable {name}, and the module has none")
        elif (ours[name] is REQUIRED) != bool(row.get("required")) or ours[name] is not REQUIRED and ours[name] != row["default"]:
            said = "none: it is required" if ours[name] is REQUIRED else json.dumps(ours[name])
            wrong.append(f"the default of {name} is {said} in the module, and another in settings.json")
    return wrong


def of_construct(props: dict) -> list[str]:
    """What the table and the construct say differently."""
    listed = {row["cdk"]: row for row in TABLE if row["cdk"]}
    wrong = [f"settings.json has no row with the prop {prop}" for prop in props if prop not in listed]
    for prop, row in listed.items():
        if prop not in props:
            wrong.append(f"settings.json names the prop {prop}, and the construct has none")
            continue
        said = props[prop]
        # What is said in words depends on something else.
        if said is None or said.startswith("- "):
            continue
        default = _default(said, row)
        if default != row["default"]:
            wrong.append(f"the default of the prop {prop} is {said}, and {json.dumps(row['default'])} in settings.json")
    return wrong


def _default(said: str, row: dict):
    if said in SAME:
        return SAME[said]
    duration = re.fullmatch(r"Duration\.(\w+)\((\d+)\)", said)
    if duration:
        seconds = SECONDS[duration[1]] * int(duration[2])
        return seconds // 86_400 if (row["terraform"] or "").endswith("_days") else seconds
    return json.loads(said.replace("'", '"').replace("_", "") if said[0].isdigit() else said.replace("'", '"'))


def of_itself() -> list[str]:
    """What the table itself lacks."""
    wrong = [f"settings.json has {name} twice" for name in {r["name"] for r in TABLE if [each["name"] for each in TABLE].count(r["name"]) > 1}]
    for row in TABLE:
        if not row.get("meaning"):
            wrong.append(f"settings.json: {row['name']} has no meaning")
        is_missing = None in (row["cdk"], row["terraform"], row["sam"])
        if is_missing != bool(row.get("why")):
            wrong.append(f"settings.json: {row['name']} {'does not say why a side lacks it' if is_missing else 'says why a side lacks it, and none does'}")
    return wrong


def table() -> str:
    """The variables as README.md has them."""
    lines, seen = ["| variable | default | meaning |", "|---|---|---|"], set()
    for row in sorted(TABLE, key=lambda row: not row.get("required")):
        if row["terraform"] and row["terraform"] not in seen:
            seen.add(row["terraform"])
            default = "required" if row.get("required") else "" if row["default"] is None else f"`{json.dumps(row['default'])}`"
            lines.append(f"| `{row['terraform']}` | {default} | {row['meaning']} |")
    return "\n".join(lines)


def of_readme() -> list[str]:
    text = (MODULE / "README.md").read_text()
    is_right = f"{BEGIN}\n{table()}\n{END}" in text
    return [] if is_right else ["README.md's table of variables is not that of settings.json: python3 -B infra/terraform/test/settings.py --write"]


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    file = MODULE / "README.md"
    before, _, rest = file.read_text().partition(BEGIN)
    file.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")

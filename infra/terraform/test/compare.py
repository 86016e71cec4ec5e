"""What the module would deploy beside what the construct does: each difference is in differences.json, with its reason."""

import fnmatch
import json

import facts
from terraform import HERE

DIFFERENCES: list[dict] = json.loads((HERE / "differences.json").read_text())


def differences(case: str, plan: dict, template: dict) -> list[tuple[str, object, object]]:
    """The facts that differ: the path, what the construct deploys, and what the module does."""
    theirs, ours = facts.flat(facts.of_template(template)), facts.flat(facts.of_plan(plan))
    nothing = "nothing"
    return [
        (path, theirs.get(path, nothing), ours.get(path, nothing))
        for path in sorted({*theirs, *ours})
        if theirs.get(path, nothing) != ours.get(path, nothing)
    ]


def compare(plans: dict[str, dict], templates: dict[str, dict], all_cases: bool = True) -> list[str]:
    """What is wrong: differences that are not listed, and listed ones that are none."""
    wrong, used, compared = [], set(), 0
    for case, plan in plans.items():
        compared += len(facts.flat(facts.of_plan(plan)))
        for path, theirs, ours in differences(case, plan, templates[case]):
            listed = [each["path"] for each in DIFFERENCES if fnmatch.fnmatchcase(path, _glob(each["path"]))]
            used.update(listed)
            if not listed:
                wrong.append(f"{case}: {path}\n    construct: {json.dumps(theirs)}\n    module:    {json.dumps(ours)}")
    for each in DIFFERENCES:
        if all_cases and each["path"] not in used:
            wrong.append(f"differences.json: {each['path']} is no difference any more: take it out")
    print(f"compared {compared} facts of {len(plans)} cases; {len(used)} differences are listed")
    return wrong


def _glob(path: str) -> str:
    """`*` stands for anything, and nothing else has a meaning."""
    return path.replace("[", "[[]").replace("?", "[?]")

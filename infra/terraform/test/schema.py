"""The AWS provider's schema, as far as a module uses it, read from the package @cdktn/provider-aws, which is generated from it.

Must not know what is deployed. It says which arguments there are, and of which type; not what AWS takes.
"""

import re
from pathlib import Path

# How the package writes the types of attributes. What it calls `any` may be anything.
TYPES = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
ELEMENTS = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}

# By its getters, those of what AWS fills.
GETTERS = {"String": "string", "Number": "number", "Boolean": "bool", "List": ["list", "string"], "StringMap": ["map", "string"]}

# What the package gives a class of its own, of what the module reads: lists of objects that AWS fills.
COMPUTED = {
    "data.aws_vpc": {
        "cidr_block_associations": ["list", ["object", {"association_id": "string", "cidr_block": "string", "state": "string"}]],
    },
}


def used(folder: Path) -> set[str]:
    """The types of resources, and of data sources as `data.…`, that a module names in its files."""
    names = set()
    for file in folder.rglob("*.tf"):
        for kind, name in re.findall(r'^(resource|data) "(aws_\w+)"', file.read_text(), re.M):
            names.add(name if kind == "resource" else f"data.{name}")
    return names


def read(package: Path, names: set[str]) -> dict:
    return {name: _of(package / "lib" / _folder(name), name) for name in sorted(names)}


def _folder(name: str) -> str:
    prefix, _, rest = name.rpartition(".aws_") if name.startswith("data.") else ("", "", name.removeprefix("aws_"))
    return ("data-aws-" if prefix else "") + rest.replace("_", "-")


def _of(folder: Path, name: str) -> dict:
    if not folder.is_dir():
        raise SystemExit(f"the provider has no {name}: {folder} is missing")
    files = sorted(folder.rglob("*.js"))
    code = "\n".join(file.read_text() for file in files)
    types = "\n".join(file.read_text() for file in sorted(folder.rglob("*.d.ts")))
    interfaces = {
        interface: {_snake(prop): mark == "?" for prop, mark in re.findall(r"readonly (\w+)(\??):", body)}
        for interface, body in re.findall(r"export interface (\w+)[^{]*\{(.*?)\n\}", types, re.S)
    }
    functions = dict(re.findall(r"function (\w+)ToHclTerraform\(struct\) \{(.*?)\n\}", code, re.S))
    resource = re.search(r"export declare class (\w+) extends cdktn\.Terraform", types)[1]
    main = re.search(r"synthesizeHclAttributes\(\) \{(.*?)\n    \}\n", code, re.S)[1]

    def block(body: str, optional: dict) -> dict:
        attributes, blocks = {}, {}
        entry = re.compile(
            r"\n {8,12}(\w+): \{\s+value: (.*?),\n\s+isBlock: (true|false),\s+type: \"(\w+)\",\s+storageClassType: \"(\w+)\"", re.S
        )
        for key, value, is_block, kind, storage in entry.findall(body):
            nested = re.search(r"(\w+)ToHclTerraform", value)
            if is_block == "true" and nested and nested[1] in functions:
                inner = nested[1][0].upper() + nested[1][1:]
                blocks[key] = {
                    "nesting": "single" if kind == "struct" else kind,
                    "required": optional.get(key) is False,
                    **block(functions[nested[1]], interfaces.get(inner, {})),
                }
            else:
                attributes[key] = {"type": _type(kind, storage), "required": optional.get(key) is False}
        return {"attributes": attributes, "blocks": blocks}

    made = block(main, interfaces.get(f"{resource}Config", {}))
    # Only those of the resource itself; those of its objects have the same form.
    own = re.search(r"class \w+ extends cdktn\.Terraform(?:Resource|DataSource) .*?synthesizeHclAttributes", code, re.S)[0]
    for kind, key in re.findall(r"this\.get(\w*?)Attribute\('(\w+)'\)", own):
        if kind in GETTERS and key not in made["attributes"] and key not in made["blocks"]:
            made["attributes"][key] = {"type": GETTERS[kind], "computed": True}
    for key, kind in COMPUTED.get(name, {}).items():
        made["attributes"][key] = {"type": kind, "computed": True}
    return made


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _type(kind: str, storage: str):
    if kind == "simple":
        return TYPES[storage]
    if kind in ("list", "set", "map"):
        element = re.match(r"(string|number|boolean|any)(List|Set|Map)$", storage)
        return [kind, ELEMENTS[element[1]]] if element else "dynamic"
    return "dynamic"

"""Write docs/json.md from the schemas.

python docs/write_json.py
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ulsam_cost.report.formats import Table, escape_markdown, render, words

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "ulsam_cost" / "schemas"
PAGE = ROOT / "docs" / "json.md"
OPENING = """<!-- Written by `python docs/write_json.py` from ulsam_cost/schemas: do not edit, run it again. -->

# The JSON of every command

`ulsam-cost COMMAND --format json` prints one JSON document. Keys keep their names; new ones may be added. Each command
has a JSON Schema in [`ulsam_cost/schemas/`](../ulsam_cost/schemas), which the tests validate its output against.

In a key, `[]` stands for each element of an array and `*` for any name. A key is always present unless the table says
that it is optional.
"""
Schema = Mapping[str, Any]
Row = dict[str, str]


def page() -> str:
    """The page as the schemas are now."""
    schemas = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(SCHEMAS.glob("*.json"))]
    return "\n\n".join((OPENING.rstrip(), *map(_section, schemas))) + "\n"


def _section(schema: Schema) -> str:
    command, _, meaning = schema["title"].partition(": ")
    columns = (words("key", "key"), words("value", "value"), words("meaning", "meaning"))
    whole = {"key": "(the document)", "value": _value(schema, schema), "meaning": schema.get("description", "")}
    table = Table(columns=columns, records=[whole, *_rows(schema, "", schema)])
    sentence = f"{meaning[:1].upper()}{meaning[1:]}."
    text = "\n\n".join((f"## {escape_markdown(command)}", escape_markdown(sentence), render(table, "markdown")))
    return text.replace("\\`", "`")  # the schemas set keys in backticks


def _rows(schema: Schema, path: str, root: Schema) -> Iterator[Row]:
    """The keys below a path, in the order of the schema."""
    for part in (schema, *(_resolved(each, root) for each in schema.get("anyOf", ()))):
        if "items" in part:
            yield from _rows(_resolved(part["items"], root), f"{path}[]", root)
        for name, value in part.get("properties", {}).items():
            yield from _row(value, f"{path}.{name}".lstrip("."), root, optional=name not in part.get("required", ()))
        if isinstance(part.get("additionalProperties"), dict):
            yield from _row(part["additionalProperties"], f"{path}.*".lstrip("."), root)


def _row(schema: Schema, path: str, root: Schema, *, optional: bool = False) -> Iterator[Row]:
    known = _resolved(schema, root)
    meaning = schema.get("description", known.get("description", ""))
    said = " ".join(filter(None, ("Optional." if optional else "", meaning)))
    yield {"key": path, "value": _value(schema, root), "meaning": said}
    yield from _rows(known, path, root)


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        target: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        schema = target
    return schema


def _value(schema: Schema, root: Schema) -> str:
    """What kind of value a schema admits, in words."""
    schema = _resolved(schema, root)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_value(each, root) for each in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return ", ".join(json.dumps(each) for each in schema.get("enum", [schema.get("const")]))
    types = schema.get("type", "any value")
    kinds = " or ".join([types] if isinstance(types, str) else types)
    return f"{kinds} of {_value(schema['items'], root)}" if "items" in schema else kinds


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

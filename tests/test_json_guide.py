"""The page on the JSON of the commands says what the schemas say."""

import importlib.util
import json
import re
from pathlib import Path

import click

from ulsam_cost.cli import main

ROOT = Path(__file__).parents[1]
SCHEMAS = sorted((ROOT / "ulsam_cost" / "schemas").glob("*.json"))


def written():
    spec = importlib.util.spec_from_file_location("write_json", ROOT / "docs" / "write_json.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page()


PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ulsam-cost (\w+)\n(.*?)(?=^## |\Z)", PAGE, flags=re.S | re.M))


def test_it_is_what_would_be_written_now():
    assert written() == PAGE, "run: python docs/write_json.py"


def test_every_command_with_a_schema_is_there_and_is_a_command():
    assert list(SECTIONS) == [path.stem for path in SCHEMAS]
    assert {*SECTIONS} <= {*main.list_commands(click.Context(main))}


def names(schema):
    """Every name of a property anywhere in a schema."""
    if isinstance(schema, list):
        return set().union(*map(names, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    found = set(schema["properties"]) if isinstance(schema.get("properties"), dict) else set()
    return found.union(*(names(value) for value in schema.values()))


def test_every_key_of_every_schema_stands_in_its_section():
    for path in SCHEMAS:
        keys = re.findall(r"^\| ([^|]+?) +\|", SECTIONS[path.stem], flags=re.M)
        shown = {part for key in keys for part in key.replace("\\", "").replace("[]", "").split(".")}
        assert names(json.loads(path.read_text(encoding="utf-8"))) <= shown, path.stem


def test_some_keys_are_described_as_the_commands_print_them():
    assert re.search(r"^\| \\\[\\\]\.verdict +\| \"match\", \"truncated\"", SECTIONS["crosscheck"], flags=re.M)
    assert re.search(r"^\| networks\\\[\\\]\.delta\.macs +\| integer or null", SECTIONS["compare"], flags=re.M)
    assert re.search(r"^\| \\\[\\\]\.exact\\_macs +\| \w[^|]*\| Optional\.", SECTIONS["table1"], flags=re.M)

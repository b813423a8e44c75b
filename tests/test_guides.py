"""ARCHITECTURE.md and CONTRIBUTING.md: the files, rooms and values that they name exist."""

import re
from pathlib import Path

import pytest
from test_house import ROOMS

ROOT = Path(__file__).parents[1]
GUIDES = ("ARCHITECTURE.md", "CONTRIBUTING.md")
FOLDERS = ("ulsam_cost", "tests", "reports", "analyses", ".ci")
PLACEHOLDER = re.compile("NAME|FAMILY")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def paths_in(text):
    """What stands in backticks and is a file or a folder of the project."""
    for quoted in re.findall(r"`([^`\n]+)`", text):
        for word in quoted.split():
            if word in {path.name for path in ROOT.iterdir()} or (word.split("/")[0] in FOLDERS and "/" in word):
                yield word


@pytest.mark.parametrize("guide", GUIDES)
def test_every_path_and_link_exists(guide):
    paths = list(paths_in(read(guide)))
    assert len(paths) > 10
    for path in paths:
        pattern = PLACEHOLDER.sub("*", path)
        assert list(ROOT.glob(pattern)), path
    for target in re.findall(r"\]\(([^)#]+)\)", read(guide)):
        assert (ROOT / target).exists(), target


def test_the_table_of_rooms_is_the_house():
    table = read("ARCHITECTURE.md").split("## The rooms")[1].split("## ")[0]
    rows = [re.findall("`([a-z_]+)`", line.split("|")[1]) for line in table.splitlines() if line.startswith("| `")]
    assert [tuple(row) for row in rows] == ROOMS


def test_the_values_are_where_the_table_says():
    table = read("ARCHITECTURE.md").split("## The values")[1].split("## ")[0]
    rows = re.findall(r"^\| (`.+?`) \| `(.+?)` \|", table, flags=re.M)
    assert len(rows) > 9
    for names, file in rows:
        for name in re.findall("`(.+?)`", names):
            assert re.search(rf"^class {name}\b", read(file), flags=re.M), name


def test_the_private_names_of_torch_stand_in_their_file():
    table = read("ARCHITECTURE.md").split("## Why private names of torch")[1].split("## ")[0]
    source = read("ulsam_cost/torch_private.py")
    names = [name for line in table.splitlines() if line.startswith("| `") for name in re.findall("`(.+?)`", line)]
    assert names
    for name in names:
        assert name in source, name


def test_the_glossary_is_in_order_and_says_each_word_once():
    table = read("ARCHITECTURE.md").split("## Glossary")[1]
    words = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][1:]
    assert words == sorted(set(words), key=str.lower)
    assert {"place", "site", "step", "layer", "placement, positions", "mechanism", "convention", "reading"} <= {*words}


def test_the_readme_links_the_guides():
    for guide in GUIDES:
        assert f"]({guide})" in read("README.md")


def test_contributing_names_every_kind_of_addition():
    headings = re.findall("^### (.+)$", read("CONTRIBUTING.md"), flags=re.M)
    assert headings == [
        "a mechanism", "a network", "a convention", "a source of the field", "an operator rule", "a command",
        "a page of the report",
    ]  # fmt: skip

"""The page model: other people's words stay words in Markdown and in HTML, links lead where they say."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ulsam_cost.audit.outcomes import JUDGED
from ulsam_cost.report.document.html import html
from ulsam_cost.report.document.markdown import markdown
from ulsam_cost.report.document.model import Bullets, Grid, Link, Page, Paragraph, Picture, Section, Shown, Strong, slug
from ulsam_cost.report.formats import Table, escape_markdown, number, words

RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "a\\|b",
    "*bold* _it_ ~~gone~~ `code` [x](y) ![x](y)",
    "&lt;b&gt; &amp; <!-- gone -->",
    '"></td><td onclick="alert(1)">',
    "{{ 7 * 7 }} {% raw %}",
    "# heading",
    "- item",
    "1. item",
    "two\nlines\r\nthree",
    "</style></title><img src=x onerror=alert(1)>",
]


class Reader(HTMLParser):
    """What a browser would show: the text by tag, every tag, every id and every target of a link."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.text, self.ids, self.hrefs = [], [], {}, [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append(tag)
            self.text.setdefault(tag, []).append("")
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.hrefs += [values["href"]] if tag == "a" else []

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.text[tag][-1] += data


def plain(text):
    return " ".join(text.split())


def a_page(label):
    table = Table(columns=(words("model", label), number("macs", "MACs")), records=[{"model": label, "macs": 1}])
    blocks = (
        Paragraph(label),
        Paragraph((label, " and ", Strong(label))),
        Bullets((label, (Link(label, "x.md"),))),
        Grid(table),
    )
    return Page("x.md", label, blocks, (Section(label, (Picture("p.png", label),)),))


PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55")


@pytest.mark.parametrize("label", HOSTILE)
def test_html_shows_labels_as_they_are(label):
    page = html([a_page(label)], {"p.png": PIXEL}).decode()
    read = Reader(page)
    assert read.text["td"] == [label, "1"]
    assert read.text["th"] == [label, "MACs"]
    assert {plain(text) for text in read.text["p"]} >= {plain(label), plain(f"{label} and {label}")}
    assert read.tags.count("script") == 2  # the page's own
    assert read.tags.count("td") == 2
    assert read.tags.count("img") == 1


@pytest.mark.parametrize("label", HOSTILE)
def test_markdown_shows_labels_as_they_are(label):
    read = Reader(RENDERER.render(markdown(a_page(label)).decode()))
    assert [plain(text) for text in read.text["td"]] == [plain(label), "1"]
    assert plain(read.text["h1"][0]) == plain(label)
    assert {plain(text) for text in read.text["p"]} >= {plain(label), plain(f"{label} and {label}")}
    assert [plain(text) for text in read.text["li"]] == [plain(label)] * 2
    assert "script" not in read.tags


@given(st.text(alphabet="ab |*_<>&;\\`~[]()#!+-.1\n'\"", min_size=1))
def test_a_cell_of_a_markdown_table_shows_any_text(text):
    page = f"| a | b |\n|---|---|\n| x{escape_markdown(text)}x | y |\n"
    assert [plain(cell) for cell in Reader(RENDERER.render(page)).text["td"]] == [plain(f"x{text}x"), "y"]


@given(st.text(alphabet="ab *_<>&;\\`~[]()#!+-.1='\"", min_size=1).filter(str.strip))
def test_a_markdown_paragraph_shows_any_text(text):
    page = markdown(Page("README.md", "t", (Paragraph(text.strip()),))).decode()
    assert plain(Reader(RENDERER.render(page)).text["p"][-1]) == plain(text)


def test_links_between_pages_lead_to_their_place_in_the_one_file():
    home = Page("README.md", "Home", (Paragraph((Link("there", "other.md#table-8"), Link("out", "measured.md"))),))
    other = Page("other.md", "Other", (), (Section("Table 8", (Paragraph("text"),)),))
    read = Reader(html([home, other], {}).decode())
    assert {"readme", "other", "other-table-8"} <= set(read.ids)
    assert {"#other-table-8", "measured.md"} <= set(read.hrefs)
    written = markdown(other).decode()
    assert "[Back to the report](README.md) · [Table 8](#table-8)" in written


def test_a_value_sorts_by_its_number_and_reads_as_its_words():
    table = Table(
        columns=(number("printed", "printed", str), words("outcome", "outcome")),
        records=[{"printed": Shown("4.2M", 4.2e6), "outcome": Shown("last digit", 2)}, {"printed": "", "outcome": ""}],
    )
    page = html([Page("x.md", "t", (Grid(table),))], {}).decode()
    assert '<td class="number" data-order="4200000.0">4.2M</td>' in page
    assert '<td class="verdict last-digit" data-order="2">last digit</td>' in page


@pytest.mark.parametrize(
    ("title", "anchor"),
    [
        ("Table 8", "table-8"),
        ("Where the papers' numbers (all) do not add up", "where-the-papers-numbers-all-do-not-add-up"),
        ("Every network, held", "every-network-held"),
    ],
)
def test_anchors_are_those_of_github(title, anchor):
    assert slug(title) == anchor


def test_every_verdict_has_its_dot_on_the_page():
    page = html([Page("README.md", "one")], {}).decode()
    for verdict in (*(slug(outcome.words) for outcome in JUDGED), "within", "over", "changed", "new", "gone"):
        assert re.search(rf"td\.{verdict} {{ --dot: #[0-9a-f]{{6}}; }}", page), verdict


def test_verdict_and_picture_come_first_and_every_section_is_in_the_contents():
    picture = Picture("p.png", "what is shown")
    page = Page("x.md", "t", (Paragraph("opening"),), (Section("s", ()),), verdict=("it holds",), picture=picture)
    assert re.findall("it holds|what is shown|opening|## s", markdown(page).decode()) == [
        "it holds",
        *["what is shown"] * 2,  # the picture's other text, and its caption
        "opening",
        "## s",
    ]
    read = Reader(html([page], {"p.png": PIXEL}, written_by="ulsam-cost review").decode())
    assert read.text["ul"][0].strip() == "it holds"
    assert read.tags.index("ul") < read.tags.index("figure") < read.tags.index("p") < read.tags.index("h3")
    assert read.hrefs == ["#x", "#x-s"]
    assert {"x", "x-s"} <= {*read.ids}


def test_sections_are_folded_unless_they_are_open():
    page = Page("x.md", "t", sections=(Section("one", ()), Section("two", (), open=True)))
    assert re.findall(r"<details id=([^>]*)>", html([page], {}).decode()) == ['"x-one"', '"x-two" open']

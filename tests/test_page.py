"""The HTML page in a real browser: what a reader sees first, folds, sorts, filters, links, prints; and no request."""

import base64
import json
import os
import re
import shutil
import time
from dataclasses import replace

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from ulsam_cost.audit.evidence import run_audit
from ulsam_cost.report.document.html import html
from ulsam_cost.report.document.model import Link, Page, Paragraph
from ulsam_cost.report.site import build

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
NEEDED = "needs a browser: Debian's packages chromium and chromium-driver"
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1280, 900), (390, 900)
BEFORE = 84_741  # pixels: the height of the page when nothing was folded
LABEL = "<script>document.title = 'broken into'</script> | <b>bold</b>"


@pytest.fixture(scope="module")
def page(tmp_path_factory, pictures, drawn_once):
    """The report's page, with a hostile label of a model in it, which no picture shows."""
    audit = run_audit()
    first = audit.cells[0]
    hostile = replace(first, subject=replace(first.subject, model=LABEL))
    path = tmp_path_factory.mktemp("page") / "index.html"
    timings = Link("Measured", "measured.md")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "opening_pictures", lambda _: pictures["opening_pictures"](audit))
        files = build.render_report(replace(audit, cells=(hostile, *audit.cells[1:])), (timings,))
    path.write_bytes(files["index.html"])
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (BROWSER and DRIVER):
        missing = pytest.fail if os.environ.get("ULSAM_COST_REQUIRE_BROWSER") else pytest.skip
        missing(NEEDED)
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page):
    """A function that opens the page anew at a window's size: as a reader finds it, or with all sections open."""

    def open_page(size=DESKTOP, *, folded=False, anchor=""):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
        )
        browser.get("about:blank")
        browser.get(page.as_uri() + anchor)
        WebDriverWait(browser, 30).until(
            lambda driver: driver.execute_script("return document.querySelectorAll('.dt-container').length")
        )
        if not folded:
            browser.execute_script("for (const each of document.querySelectorAll('main details')) each.open = true")
        return browser

    return open_page


def column(browser, section, heading):
    """What stands in a column of a section's first table, row by row."""
    table = browser.find_element(By.CSS_SELECTOR, f"#{section} table")
    headings = [cell.text.split("\n")[0] for cell in table.find_elements(By.TAG_NAME, "th")]
    place = headings.index(heading) + 1
    return [cell.text for cell in table.find_elements(By.CSS_SELECTOR, f"tbody td:nth-child({place})")]


def eventually(read, wanted):
    """The page answers a click or a key in its own time."""
    end = time.monotonic() + 20
    while read() != wanted and time.monotonic() < end:
        time.sleep(0.05)
    assert read() == wanted


def click_heading(browser, section, heading):
    for cell in browser.find_elements(By.CSS_SELECTOR, f"#{section} th"):
        if cell.text.split("\n")[0] == heading:
            browser.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", cell)
            cell.click()
            return cell
    raise AssertionError(heading)


def test_a_click_on_a_heading_sorts_by_value_and_again_backwards(opened):
    browser = opened()
    before = column(browser, "ulsam-table-7", "printed")
    heading = click_heading(browser, "ulsam-table-7", "printed")
    eventually(lambda: heading.get_attribute("aria-sort"), "ascending")
    after = column(browser, "ulsam-table-7", "printed")
    assert sorted(after) == sorted(before) != after
    value = {"M": 1e6, "G": 1e9}
    numbers = [float(text[:-1]) * value[text[-1]] for text in after]
    assert numbers == sorted(numbers)
    click_heading(browser, "ulsam-table-7", "printed")
    eventually(lambda: column(browser, "ulsam-table-7", "printed")[0], "569M")


def test_a_heading_sorts_by_the_keyboard(opened):
    browser = opened()
    heading = click_heading(browser, "ulsam-table-8", "computed")
    eventually(lambda: heading.get_attribute("aria-sort"), "ascending")
    heading.find_element(By.CSS_SELECTOR, "[tabindex='0']").send_keys(Keys.ENTER)
    eventually(lambda: heading.get_attribute("aria-sort"), "descending")
    eventually(lambda: column(browser, "ulsam-table-8", "computed")[0], "300,774,272")


def test_outcomes_sort_from_the_best_to_the_worst(opened):
    browser = opened()
    heading = click_heading(browser, "every_number-claims", "outcome")
    eventually(lambda: heading.get_attribute("aria-sort"), "ascending")
    shown = list(dict.fromkeys(column(browser, "every_number-claims", "outcome")))
    best_first = ["network", "network, truncated", "paper's arithmetic", "counting rule", "last digit", "explained"]
    assert shown == best_first


def test_typing_filters_the_rows(opened):
    browser = opened()
    search = browser.find_element(By.CSS_SELECTOR, "#every_number-cells input")
    search.send_keys("poster explained birds")
    eventually(lambda: column(browser, "every_number-cells", "printed"), ["224.16M"])
    info = browser.find_element(By.CSS_SELECTOR, "#every_number-cells .dt-info")
    assert info.text.split() == ["1", "rows", "of", "350"]
    search.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    eventually(lambda: len(column(browser, "every_number-cells", "printed")), 350)
    search.send_keys("no such thing")
    eventually(lambda: column(browser, "every_number-cells", "model"), ["No row matches."])


def test_every_link_leads_to_its_place_and_back(opened):
    browser = opened()
    links = browser.execute_script(
        "return [...document.querySelectorAll('a')].map(a => [a.getAttribute('href'), "
        "a.hash ? document.getElementById(a.hash.slice(1)) !== null : false])"
    )
    assert [href for href, there in links if not there] == ["measured.md"]  # the page of timings, a file of its own
    assert len(links) > 50
    browser.find_element(By.CSS_SELECTOR, "#contents a[href='#networks']").click()
    assert 0 <= top(browser, "networks") < DESKTOP[1] / 2
    browser.find_element(By.CSS_SELECTOR, "#networks .back a").click()
    assert browser.execute_script("return location.hash") == "#contents"
    browser.back()
    browser.back()
    assert browser.execute_script("return location.hash") == ""


def top(browser, identity):
    return browser.execute_script(f"return document.getElementById('{identity}').getBoundingClientRect().top")


def bottom(browser, selector):
    return browser.execute_script(
        "return Math.max(...[...document.querySelectorAll(arguments[0])].map(e => e.getBoundingClientRect().bottom))",
        selector,
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_first_screen_has_the_verdict_and_a_picture(opened, size):
    browser = opened(size, folded=True)
    assert 0 < bottom(browser, "#readme .verdict-sentences li") < bottom(browser, "#readme figure.lead img") < 900
    assert "120 of 350 printed" in browser.find_element(By.CSS_SELECTOR, ".verdict-sentences li").text
    width, natural = browser.execute_script(
        "const lead = document.querySelector('figure.lead img'); return [lead.width, lead.naturalWidth]"
    )
    assert width > 300
    assert natural * 10 / 754 * (width / natural) > 4.5  # height of small letters, of which 10 points are 754 wide


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_sections_are_folded_but_for_what_matters(opened, size):
    browser = opened(size, folded=True)
    assert browser.execute_script("return document.documentElement.scrollHeight") < BEFORE / 5
    open_ones = browser.find_elements(By.CSS_SELECTOR, "main details[open]")
    assert [each.get_attribute("id") for each in open_ones] == ["readme-other-findings"]
    table = browser.find_element(By.CSS_SELECTOR, "#dca-table-1 table")
    assert not table.is_displayed()
    summary = browser.find_element(By.CSS_SELECTOR, "#dca-table-1 summary")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", summary)
    summary.click()
    assert table.is_displayed()
    summary.click()
    assert not table.is_displayed()


def test_a_link_to_a_folded_section_opens_it(opened):
    browser = opened(folded=True, anchor="#ulsam-table-7")  # from another file
    assert browser.find_element(By.CSS_SELECTOR, "#ulsam-table-7 table").is_displayed()
    assert 0 <= top(browser, "ulsam-table-7") < DESKTOP[1] / 2
    browser.find_element(By.CSS_SELECTOR, "#contents summary a[href='#readme']").click()
    link = browser.find_element(By.CSS_SELECTOR, "a[href='#readme-where-the-papers-do-not-add-up']")
    for _ in range(2):  # the second time the address does not change
        link.click()
        section = browser.find_element(By.ID, "readme-where-the-papers-do-not-add-up")
        eventually(lambda section=section: section.get_attribute("open"), "true")
        browser.execute_script("arguments[0].open = false", section)


def test_a_button_opens_all_sections_and_folds_them(opened):
    browser = opened(folded=True)
    button = browser.find_element(By.CSS_SELECTOR, "#contents button")
    sections = browser.find_elements(By.CSS_SELECTOR, "main details")
    for words, state in (("Open all sections", "true"), ("Fold all sections", None)):
        assert button.text == words
        button.click()
        assert {section.get_attribute("open") for section in sections} == {state}


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_contents_stay_in_sight(opened, size):
    browser = opened(size, folded=True)
    browser.execute_script("window.scrollTo(0, 3000)")
    assert browser.execute_script("return window.scrollY") == 3000
    assert top(browser, "contents") == 0
    assert browser.find_element(By.CSS_SELECTOR, "#contents summary").is_displayed()


def luminance(colour):
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


COLOURS = """
let place = document.querySelector(arguments[0]);
const ink = getComputedStyle(place).color;
while (place && getComputedStyle(place).backgroundColor === "rgba(0, 0, 0, 0)") place = place.parentElement;
return [ink, getComputedStyle(place).backgroundColor];
"""
TEXTS = (
    "body",
    "main a",
    "figcaption",
    "nav a",
    "nav button",
    "th",
    "td",
    "td.verdict",
    ".dt-info",
    ".dt-search input",
)


@pytest.fixture
def scheme(browser):
    """A function that asks for a light or dark page, on the screen or on paper."""

    def ask(name, media="screen"):
        features = [{"name": "prefers-color-scheme", "value": name}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    yield ask
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_a_dark_page_is_dark_and_both_are_readable(opened, scheme):
    paper = {}
    for name in ("light", "dark"):
        scheme(name)
        browser = opened()
        paper[name] = luminance(browser.execute_script(COLOURS, "body")[1])
        for text in TEXTS:
            low, high = sorted(map(luminance, browser.execute_script(COLOURS, text)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, text)  # WCAG 2, level AA
        for image in browser.find_elements(By.CSS_SELECTOR, "figure img"):
            assert image.value_of_css_property("background-color") in ("rgba(255, 255, 255, 1)", "rgb(255, 255, 255)")
    assert paper["light"] == 1
    assert paper["dark"] < 0.02
    scheme("dark", "print")
    assert luminance(browser.execute_script(COLOURS, "body")[1]) == 1


STAYING = """
const gone = [];
for (const table of document.querySelectorAll("main table")) {
  const box = table.closest(".dt-layout-table"), edges = box.getBoundingClientRect(), row = table.tBodies[0].rows[0];
  for (const left of [0, 60, box.scrollWidth]) {
    box.scrollLeft = left;
    for (const cell of [row.cells[0], ...row.querySelectorAll(".verdict"), table.tHead.rows[0].cells[0]]) {
      const place = cell.getBoundingClientRect();
      if (place.left < edges.left - 1 || place.right > edges.right + 1) gone.push([table.closest("[id]").id, left]);
    }
  }
}
return gone;
"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_first_and_verdict_columns_stay_in_sight(opened, size):
    browser = opened(size)
    assert browser.execute_script("return document.querySelectorAll('td.verdict').length") > 350
    assert browser.execute_script(STAYING) == []


def test_the_headings_of_a_long_table_stay_in_sight(opened):
    places = opened().execute_script(
        "const box = document.querySelector('#every_number-cells .dt-layout-table'); box.scrollTop = 5000; "
        "return [box.scrollTop, box.getBoundingClientRect().top, box.querySelector('th').getBoundingClientRect().top]"
    )
    assert places[0] == 5000
    assert places[1] == pytest.approx(places[2], abs=1)


def test_no_two_columns_of_a_table_have_one_heading(opened):
    headings = opened().execute_script(
        "return [...document.querySelectorAll('main table')].map(t => [...t.tHead.rows[0].cells].map(c => c.innerText))"
    )
    assert len(headings) > 40
    assert [heads for heads in headings if len({*heads}) != len(heads)] == []


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, (768, 1024)])
def test_nothing_is_wider_than_the_window(opened, size, folded):
    browser = opened(size, folded=folded)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.dt-layout-table, .scroll') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []


def test_on_a_phone_tables_and_pictures_scroll_within_their_boxes(opened):
    browser = opened(PHONE)
    for box in ("#ulsam-table-7 .dt-layout-table", "#readme-printed-and-computed-costs figure .scroll"):
        inner, outer = browser.execute_script(
            "const box = document.querySelector(arguments[0]); return [box.scrollWidth, box.clientWidth]", box
        )
        assert inner > outer
    contents = browser.find_element(By.CSS_SELECTOR, "#contents details")
    assert contents.get_attribute("open") is None
    contents.find_element(By.TAG_NAME, "summary").click()
    contents.find_element(By.CSS_SELECTOR, "a[href='#dca']").click()
    assert contents.get_attribute("open") is None
    assert 0 <= top(browser, "dca") < PHONE[1] / 2


def test_labels_stay_text(opened):
    browser = opened()
    assert column(browser, "ulsam-table-1", "model")[0] == LABEL
    click_heading(browser, "ulsam-table-1", "model")  # what is sorted is set into the page anew
    assert LABEL in column(browser, "ulsam-table-1", "model")
    assert browser.title == "The papers' costs, checked"
    assert browser.execute_script("return document.querySelectorAll('main script, main b').length") == 0


def test_pictures_are_drawn(opened, page):
    widths = opened().execute_script("return [...document.images].map(image => image.complete && image.naturalWidth)")
    assert len(widths) == page.read_text(encoding="utf-8").count("data:image/png;base64,") >= 10
    assert min(widths) > 500


PAPER = (718, 1046)  # pixels: A4 upright and lying, less the margins


def test_it_prints(opened, scheme):
    browser = opened((PAPER[0], 1000))
    scheme("light", "print")
    shown = [browser.find_element(By.CSS_SELECTOR, what).is_displayed() for what in ("nav", ".dt-search", "table")]
    assert shown == [False, False, True]
    widths = browser.execute_script(
        "return [...document.querySelectorAll('main table, main img')].map("
        "e => [e.closest('.wide') !== null, e.getBoundingClientRect().width])"
    )
    assert {wide for wide, _ in widths} == {True, False}
    assert [width for wide, width in widths if width > PAPER[wide]] == []
    assert browser.execute_script("return getComputedStyle(document.querySelector('.wide')).page") == "landscape"


def sheets(browser):
    paper = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]  # print_page waits for ten seconds only
    return base64.b64decode(paper).count(b"/Type /Page\n")


def test_on_paper_nothing_is_folded_and_afterwards_all_is_as_it_was(opened):
    unfolded = sheets(opened())
    browser = opened(folded=True)
    assert sheets(browser) == unfolded > 30
    assert len(browser.find_elements(By.CSS_SELECTOR, "main details[open]")) == 1


def test_no_errors_and_no_requests(opened):
    browser = opened()
    for log in ("browser", "performance"):
        browser.get_log(log)  # what came before
    opened()
    click_heading(browser, "ulsam-table-7", "printed")
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert any(url.startswith("file:") for url in sent)
    assert [url for url in sent if not url.startswith(("file:", "data:", "about:"))] == []


def test_a_page_of_its_own_leads_to_the_report_and_has_no_errors(opened, page):
    alone = Page("measured.md", "Measured", (Paragraph("text"),))
    path = page.parent / "measured.html"
    path.write_bytes(html([alone], {}, home=Link("The report", page.name)))
    browser = opened()
    browser.get_log("browser")
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    browser.find_element(By.CSS_SELECTOR, "nav a").click()
    assert browser.current_url == page.as_uri()


def test_the_page_refuses_any_other_script(opened):
    browser = opened()
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)"
    )
    assert browser.title != "1"
    browser.get_log("browser")

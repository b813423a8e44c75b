"""The HTML page in a real browser: it sorts, filters, links, fits a phone, prints, and asks no network for anything."""

import base64
import json
import os
import shutil
import time
from dataclasses import replace

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from ulsam_cost.report.document.html import html
from ulsam_cost.report.document.model import Link, Page, Paragraph
from ulsam_cost.report.site.build import render_report
from ulsam_cost.report.site.findings import run_audit

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
DESKTOP, PHONE = (1280, 900), (360, 740)
LABEL = "<script>document.title = 'broken into'</script> | <b>bold</b>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report's page, with a hostile label of a model in it."""
    audit = run_audit()
    first = audit.cells[0]
    hostile = replace(first, subject=replace(first.subject, model=LABEL))
    path = tmp_path_factory.mktemp("page") / "index.html"
    timings = Link("Measured", "measured.md")
    files = render_report(replace(audit, cells=(hostile, *audit.cells[1:])), (timings,))
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
    """A function that opens the page anew at a window's size."""

    def open_page(size=DESKTOP):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
        )
        browser.get("about:blank")
        browser.get(page.as_uri())
        WebDriverWait(browser, 30).until(
            lambda driver: driver.execute_script("return document.querySelectorAll('.dt-container').length")
        )
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
    eventually(lambda: column(browser, "every_number-cells", "source"), ["No row holds these words."])


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


@pytest.mark.parametrize("size", [DESKTOP, PHONE, (768, 1024)])
def test_nothing_is_wider_than_the_window(opened, size):
    browser = opened(size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(e => !e.closest('.dt-layout-table, .scroll') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []


def test_on_a_phone_tables_and_pictures_scroll_within_their_boxes(opened):
    browser = opened(PHONE)
    for box in ("#ulsam-table-7 .dt-layout-table", "#readme figure .scroll"):
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
    assert browser.title == "What the papers' costs are, checked"
    assert browser.execute_script("return document.querySelectorAll('main script, main b').length") == 0


def test_pictures_are_drawn(opened, page):
    widths = opened().execute_script("return [...document.images].map(image => image.complete && image.naturalWidth)")
    assert len(widths) == page.read_text(encoding="utf-8").count("data:image/png;base64,") >= 10
    assert min(widths) > 500


def test_it_prints(opened):
    browser = opened()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        shown = [browser.find_element(By.CSS_SELECTOR, what).is_displayed() for what in ("nav", ".dt-search", "table")]
        assert shown == [False, False, True]
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= DESKTOP[0]
        paper = base64.b64decode(browser.print_page())
        assert paper.startswith(b"%PDF")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


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

"""The site of the documentation: whole, by itself, and without a broken link."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.conftest import ROOT
from tests.docs.conftest import build
from tests.ports import free_port

# What a browser fetches by itself, other than what a reader follows.
LOADED = {"img", "script", "source", "video", "iframe"}


class Links(HTMLParser):
    """The addresses that a page loads or links to, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        target = given.get("src") or given.get("href")
        if target is None:
            return
        fetched = tag in LOADED or (tag == "link" and given.get("rel") != "canonical")
        (self.loaded if fetched else self.linked).append(target)


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Links]:
    # 404.html is served at any depth, so its addresses begin at the site's root.
    found = set(site.rglob("*.html")) - {site / "404.html"}
    return {page: Links(page.read_text(encoding="utf-8")) for page in found}


def test_every_link_of_a_page_leads_to_a_file_and_an_anchor_of_the_site(pages):
    broken = []
    for page, links in pages.items():
        for target in links.loaded + links.linked:
            parts = urlsplit(target)
            if parts.scheme in {"http", "https"}:
                continue
            there = page
            if parts.path:
                there = (page.parent / unquote(parts.path)).resolve()
            if there.is_dir():
                there /= "index.html"
            anchor = unquote(parts.fragment)
            found = pages[there].anchors if there in pages else set()
            if not there.is_file() or (anchor and anchor not in found):
                broken.append(f"{page}: {target}")

    assert broken == []


def test_no_page_loads_anything_from_another_host(pages, site):
    outside = {
        target
        for links in pages.values()
        for target in links.loaded
        if urlsplit(target).netloc
    }
    styles = [path for path in site.rglob("*.css") if "url(http" in path.read_text()]

    assert outside == set()
    assert styles == []


def test_files_of_the_repository_are_pages_of_the_site(site):
    page = (site / "repository/common/jobs/lua/claim.lua/index.html").read_text("utf-8")
    shown = "".join(HTMLText(page).parts)
    folder = (site / "repository/common/jobs/lua/index.html").read_text("utf-8")
    changelog = (site / "repository/CHANGELOG/index.html").read_text("utf-8")

    assert (ROOT / "common/jobs/lua/claim.lua").read_text("utf-8").strip() in shown
    assert '"claim.lua/"' in folder
    assert 'href="../../how-to/runbooks/"' in changelog


class HTMLText(HTMLParser):
    """The text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(page)

    def handle_data(self, data):
        self.parts.append(data)


def test_the_openapi_document_is_linked_and_there(pages, site):
    api = site / "reference" / "api" / "index.html"

    assert "../../openapi.json" in pages[api].linked
    document = json.loads((site / "openapi.json").read_text(encoding="utf-8"))
    assert document == json.loads((ROOT / "docs/openapi.json").read_text("utf-8"))


def test_each_link_to_nothing_and_each_unlisted_page_end_the_build(tmp_path):
    targets = ("no.md", "index.md#no", "../worker/no.py", "no.png")
    text = "".join(f"[gone]({target})\n" for target in targets)
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        (tmp_path / name).write_text("# Page\n", encoding="utf-8")
    (tmp_path / "deploy").mkdir()
    shutil.copytree(ROOT / "deploy/site", tmp_path / "deploy/site")
    (tmp_path / "api/web/static").mkdir(parents=True)
    shutil.copy(ROOT / "api/web/static/logo.svg", tmp_path / "api/web/static")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text(f"# Page\n\n{text}", encoding="utf-8")
    (tmp_path / "docs/unlisted.md").write_text("# Page\n", encoding="utf-8")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[0]
    nav = "\nnav: [index.md, page.md]\n"
    (tmp_path / "mkdocs.yml").write_text(settings + nav, encoding="utf-8")

    done = build(tmp_path, tmp_path / "site")

    assert done.returncode == 1
    warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == len(targets) + 1
    assert "unlisted.md" in done.stderr
    for target in targets:
        assert any(f"'{target}'" in line for line in warnings), done.stderr


@pytest.fixture
def served(site) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    port = free_port()
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{port}/"
        server.shutdown()
        thread.join()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_reader_searches_and_no_other_host_is_asked(browser, served, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    requests, complaints = [], []
    page.on("request", lambda one: requests.append(one.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    page.goto(served, wait_until="networkidle")
    pictures = page.evaluate("[...document.images].map(one => one.naturalWidth)")
    fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width < 1000:
        page.click("label[for=__search].md-header__button")
    page.click("input[name=query]")
    page.keyboard.type("sparse bytes")
    page.click("a.md-search-result__link[href*='reference/settings/']")
    page.wait_for_url("**/reference/settings/**")
    page.close()

    assert min(pictures) > 0
    assert fits
    assert complaints == []
    assert [
        one for one in requests if not one.startswith((served, "data:", "blob:"))
    ] == []

"""Pages for the files of the repository that the documentation links to.

MkDocs knows the folder ``docs`` alone. This hook makes README.md the first page, and
adds a page below ``repository/`` for each other file that a page links to, so that the
site is whole by itself, wherever the repository is. Links keep the form that is right
in the repository.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
_DOCS, _README, _FOLDER = "docs/", "README.md", "repository/"
# A page of the navigation, whether another one links to it or not.
_PAGES = (_README, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_FIRST = "---\nhide: [navigation]\n---\n"
_UNSEARCHED = "---\nsearch: {exclude: true}\n---\n"
_ASSETS = {
    "assets/logo.svg": "api/web/static/logo.svg",
    "assets/site.css": "deploy/site/site.css",
}
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)")
_LANGUAGES = {".py": "python", ".lua": "lua", ".yml": "yaml"}


@dataclass(frozen=True)
class _Target:
    """A file of the repository: its path, and where the site has it."""

    origin: str

    @property
    def uri(self) -> str:
        if self.origin == _README:
            return "index.md"
        if self.origin.startswith(_DOCS):
            return self.origin.removeprefix(_DOCS)
        suffix = "" if self.origin.endswith(".md") else ".md"
        return f"{_FOLDER}{self.origin}{suffix}"

    @property
    def is_code(self) -> bool:
        """Whether the file is shown as it is, by which it has no links."""
        return (ROOT / self.origin).is_file() and not self.origin.endswith(".md")

    def text(self) -> str:
        """Return the page in Markdown, also of code, or with what is in a folder."""
        path = ROOT / self.origin
        if self.origin.endswith(".md"):
            head = _FIRST if self.origin == _README else _UNSEARCHED
            return head + path.read_text(encoding="utf-8")
        head = f"{_UNSEARCHED}# `{self.origin}`\n\n"
        if self.is_code:
            language = _LANGUAGES.get(path.suffix, "text")
            return f"{head}`````{language}\n{path.read_text('utf-8')}`````\n"
        names = sorted(one.name for one in path.iterdir() if one.name[0] not in "._")
        return head + "".join(f"- [`{name}`]({path.name}/{name})\n" for name in names)

    def linked(self) -> list[_Target]:
        """Return the files and folders that this page links to."""
        if self.is_code:
            return []
        found = (self.at(link) for link in _LINK.findall(self.text()))
        return [target for target in found if target]

    def at(self, link: str) -> _Target | None:
        """Return what a link of this page leads to; None if no file is there."""
        path = normpath(f"{dirname(self.origin)}/{link}".lstrip("/"))
        there = not path.startswith("..") and (ROOT / path).exists()
        return _Target(path) if there else None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures from outside ``docs``."""
    for uri, origin in _ASSETS.items():
        source = str(ROOT / origin)
        files.append(File.generated(config, uri, abs_src_path=source))
    origins = [_DOCS + file.src_uri for file in files.documentation_pages()]
    waiting = [_Target(origin) for origin in (*_PAGES, *origins)]
    known = set(waiting)
    while waiting:
        target = waiting.pop()
        if not target.origin.startswith(_DOCS):
            files.append(File.generated(config, target.uri, content=target.text()))
        fresh = [one for one in target.linked() if one not in known]
        known.update(fresh)
        waiting += fresh
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Return the page with links that lead to where the site has the files."""
    del config, files
    target = _origin(page.file.src_uri)

    def moved(found: re.Match[str]) -> str:
        leads_to = target.at(found[0])
        if leads_to is None:
            return found[0]  # MkDocs warns of it
        return relpath(leads_to.uri, dirname(target.uri) or ".")

    return markdown if target.is_code else _LINK.sub(moved, markdown)


def _origin(uri: str) -> _Target:
    """Return the file that a page of the site shows."""
    if uri == "index.md":
        return _Target(_README)
    if not uri.startswith(_FOLDER):
        return _Target(_DOCS + uri)
    path = uri.removeprefix(_FOLDER)
    return _Target(path if (ROOT / path).exists() else path.removesuffix(".md"))

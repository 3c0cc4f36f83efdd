"""An S3 on loopback that can be told to answer with faults, for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from tests.counting_proxy import CountingProxy
from tests.e2e.context import aws, rclone, s3_settings

OTHERS = "theirs"
# (method, path) -> the status and S3's code of a refusal, or None.
Fault = Callable[[str, str], tuple[int, str] | None]


class FaultyS3(CountingProxy):
    """A proxy before rclone's S3, which checks signatures.

    ``fault`` chooses what is refused, ``clock`` is added to the Date of every answer.
    """

    fault: Fault | None = None
    clock = 0.0

    @property
    def settings(self) -> dict[str, str]:
        """Variables of a service that keeps its files here."""
        return s3_settings(self.url) | {
            "FRAMEMILL_SOURCE_BUCKETS": OTHERS,
            "FRAMEMILL_S3_MAX_ATTEMPTS": "1",
        }

    @contextmanager
    def refusing(self, fault: Fault) -> Iterator[None]:
        """Refuse until the block ends."""
        self.fault = fault
        try:
            yield
        finally:
            self.fault = None

    def refusal(self, method: str, path: str) -> tuple[int, bytes] | None:
        """Answer with the fault, as S3 does."""
        found = self.fault and self.fault(method, urlsplit(path).path)
        return found and (found[0], f"<Error><Code>{found[1]}</Code></Error>".encode())

    def dated(self, date: str) -> str:
        """Return what a server whose clock is off says."""
        right = parsedate_to_datetime(date).timestamp()
        return formatdate(right + self.clock, usegmt=True)


@contextmanager
def faulty_s3(folder: Path) -> Iterator[FaultyS3]:
    """Run the proxy with our bucket and one of somebody else's."""
    with rclone(folder) as upstream, FaultyS3(upstream) as proxy:
        aws("s3", proxy.url).create_bucket(Bucket=OTHERS)
        yield proxy

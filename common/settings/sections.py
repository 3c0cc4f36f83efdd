"""The sections of the settings: names, types, bounds, defaults.

:mod:`common.settings.load` puts them together and reads them from the environment;
``docs/reference/settings.md`` lists all of them, and a test compares.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_settings import NoDecode

from common.settings.addresses import (
    BrokerUrl,
    MasterName,
    SentinelPassword,
    StoreUrl,
)
from common.settings.types import (
    Delays,
    KeyList,
    Networks,
    Places,
    Ports,
    Recipients,
    WebAddress,
    WebhookSecret,
    Words,
    parse_json,
)

_MIB = 1024 * 1024


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach the address."""
    try:
        return host == "localhost" or ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    """Base of the sections; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Broker(Section):
    """The server that carries messages (Celery); see docs/how-to/brokers.md."""

    url: BrokerUrl = Field(
        default="redis://127.0.0.1:6379/0",
        description="redis:// or rediss:// for Redis or Valkey, amqp:// or amqps:// "
        "for RabbitMQ, or a sentinel:// for each Sentinel, with ; between them.",
    )
    master: MasterName = "mymaster"
    sentinel_password: SentinelPassword = None


class Store(Section):
    """The Redis that holds the job records; use another server than the broker's."""

    url: StoreUrl = Field(
        default="redis://127.0.0.1:6380/0",
        description="redis://, rediss:// or unix://, or a sentinel:// for each "
        "Sentinel, with ; between them (docs/how-to/brokers.md).",
    )
    master: MasterName = "mymaster"
    sentinel_password: SentinelPassword = None
    replicas: int = Field(
        default=0,
        ge=0,
        le=10,
        description="How many replicas must have a job or a batch before it is "
        "accepted; where fewer have it in time, the answer is 503.",
    )
    prefix: str = Field(default="fm:", pattern=r"^[a-z0-9:_-]{1,32}$")
    timeout_seconds: float = Field(
        default=2,
        gt=0,
        le=60,
        description="How long a call may wait for the server's answer. After that the "
        "API answers 503, and workers try again.",
    )
    durability: Literal["store", "storage"] = Field(
        default="store",
        description="What a 202 promises: the job is in the job store, and its "
        "manifest in the storage soon after (store), or its manifest was stored before "
        "(storage); see docs/explanation/reliability.md.",
    )


class Blobs(Section):
    """Storage of files: ``local`` (a folder) or ``s3``."""

    backend: Literal["local", "s3"] = "local"
    path: Path = Path(".data/blobs")
    bucket: str = "framemill"
    grant_seconds: int = Field(default=3600, ge=60, le=604_800)
    destinations: Places = Field(
        default=[],
        description="Where callers without an API key may have results copied: "
        "BUCKET or BUCKET/PREFIX. Keys have lists of their own.",
    )


class S3(Section):
    """The S3 client; without credentials here, boto3 looks in its usual places."""

    endpoint_url: str | None = None
    public_endpoint_url: str | None = Field(
        default=None, description="Used in presigned URLs instead of endpoint_url."
    )
    proxy_downloads: bool = Field(
        default=False,
        description="Send files through the API instead of a redirect to a presigned "
        "URL: for a storage that browsers cannot reach, or that answers a range with "
        "status 200, as rclone does.",
    )
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = None
    addressing_style: Literal["path", "virtual", "auto"] = "path"
    connect_timeout_seconds: float = Field(default=3, gt=0, le=60)
    read_timeout_seconds: float = Field(default=20, gt=0, le=300)
    max_attempts: int = Field(default=4, ge=1, le=10)


class SourceRules(Section):
    """Which sources a job may use."""

    buckets: Words = Field(
        default=[],
        description="S3 buckets that jobs may read; empty is only the service's own.",
    )
    urls: bool = Field(default=False, description="Allow sources by URL.")


class Limits(Section):
    """Limits that protect the service; each refusal names its setting."""

    source_bytes: int = Field(default=10 * 1024 * _MIB, ge=1)
    source_seconds: float = Field(
        default=7 * 24 * 3600,
        gt=0,
        description="The longest video, in seconds. Stills, animations, previews, "
        "contact sheets and storyboards cost about the same at any length.",
    )
    decoded_seconds: float = Field(
        default=6 * 3600,
        gt=0,
        description="The longest video, in seconds, for outputs that decode every "
        "frame: snippets, and storyboards of videos without usable keyframes. A video "
        "with fewer than 30 frames a second may be longer in proportion.",
    )
    source_pixels: int = Field(default=8192 * 4320, ge=1)
    outputs_per_job: int = Field(default=32, ge=1, le=200)
    json_bytes: int = Field(default=256 * 1024, ge=1024)
    field_bytes: int = Field(default=64 * 1024, ge=1024)
    metadata_bytes: int = Field(default=4096, ge=0)
    queued_jobs: int = Field(
        default=100_000, ge=1, description="How many jobs may be unfinished in all."
    )
    queue_hours: float = Field(
        default=24,
        gt=0,
        description="New jobs are refused with 503 while a task of the same caller has "
        "waited for a worker longer than this.",
    )
    store_percent: float = Field(
        default=90,
        gt=0,
        le=100,
        description="New jobs are refused with 503 while the job store has taken more "
        "of its maxmemory; the rest is for ending those it has.",
    )
    uploads_at_once: int = Field(
        default=100,
        ge=1,
        description="How many uploads of one owner may be unfinished; an API key may "
        "have a limit of its own.",
    )
    batch_jobs: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="The most jobs that one batch makes.",
    )


class Retention(Section):
    """How long things are kept."""

    job_hours: float = Field(
        default=168, gt=0, description="How long a job is kept after its end."
    )
    source_hours: float = Field(
        default=168,
        gt=0,
        description="How long an uploaded source is kept after the job's end.",
    )
    idempotency_hours: float = Field(default=24, gt=0, le=168)
    upload_hours: float = Field(
        default=24, gt=0, description="How long an unfinished upload is kept."
    )


class Lease(Section):
    """The claim of one task by one worker; see docs/explanation/reliability.md."""

    seconds: float = Field(default=30, ge=1, le=3600)
    beat_seconds: float = Field(default=5, ge=0.1)
    sweep_seconds: float = Field(default=5, ge=0.1)
    grace_seconds: float = Field(default=10, ge=0.1)
    max_attempts: int = Field(default=4, ge=1, le=100)
    max_lost_leases: int = Field(default=5, ge=1, le=100)
    max_deaths: int = Field(default=3, ge=1, le=100)
    max_refunds: int = Field(default=10, ge=0, le=1000)
    outage_hours: float = Field(
        default=24,
        gt=0,
        le=24 * 365,
        description="How long a task waits for a part of the service that is away "
        "(storage that does not answer or refuses the service's keys, or a full disk), "
        "counted from the first time that it met the outage. After that it fails.",
    )

    @model_validator(mode="after")
    def _beats_within_the_lease(self) -> Lease:
        if self.beat_seconds * 2 > self.seconds:
            raise ValueError(
                f"a heartbeat every {self.beat_seconds:g} seconds "
                "(FRAMEMILL_LEASE_BEAT_SECONDS) is too rare for a lease of "
                f"{self.seconds:g} seconds (FRAMEMILL_LEASE_SECONDS): one lost "
                "heartbeat would lose the lease; make it at most half of the lease"
            )
        return self


class Engine(Section):
    """FFmpeg and its limits."""

    sandbox: Literal["auto", "required", "namespaces", "off"] = Field(
        default="auto",
        description="Which layers confine FFmpeg and the probe "
        "(docs/explanation/sandbox.md): all that the host has (auto), all or the "
        "worker refuses to start (required), all and namespaces (namespaces), or none "
        "(off).",
    )
    threads: int = Field(default=2, ge=1, le=64)
    memory_bytes: int = Field(default=4 * 1024 * _MIB, ge=512 * _MIB)
    output_bytes: int = Field(default=2 * 1024 * _MIB, ge=_MIB)
    stall_seconds: float = Field(default=30, gt=0)
    probe_seconds: float = Field(default=20, gt=0)
    cap_seconds: float = Field(
        default=60, gt=0, description="Smallest time limit of an FFmpeg run."
    )
    cap_ratio: float = Field(
        default=4,
        gt=0,
        description="Seconds added to that limit for each second of video decoded or "
        "encoded.",
    )
    hard_seconds: int = Field(
        default=3600, ge=60, description="Celery's hard time limit for a task."
    )


class Worker(Section):
    """Celery workers."""

    queues: Words = ["fast", "slow"]
    concurrency: int = Field(
        default=3,
        ge=1,
        le=256,
        description="How many tasks run at once. A worker on both queues keeps one of "
        "these slots free of `slow` tasks, unless it is the only one.",
    )
    scratch: Path = Path(".data/scratch")
    cache_bytes: int = Field(
        default=20 * 1024 * _MIB,
        ge=0,
        description="The disk space that copies of sources take on a host; copies in "
        "use may take more.",
    )
    cache_seconds: float = Field(
        default=3600,
        gt=0,
        le=30 * 24 * 3600,
        description="How long a copy is kept after its last use, also if its job or "
        "its source was deleted.",
    )
    sparse_bytes: int = Field(
        default=16 * _MIB,
        ge=0,
        description="Sources in S3 or behind a URL with at least so many bytes are "
        "read by ranges where that is possible, smaller ones fetched whole "
        "(docs/explanation/sources.md).",
    )
    fetches: int = Field(
        default=4,
        ge=1,
        le=32,
        description="How many requests of one task for its source run at once.",
    )
    shutdown_seconds: int = Field(default=45, ge=1)


class Api(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str | None = Field(
        default=None,
        description="Base URL of links; default: the address of the request.",
    )
    threads: int = Field(default=16, ge=4, le=512)
    transfers: int = Field(
        default=64,
        ge=4,
        le=1024,
        description="How many threads receive large bodies. As many more send files "
        "and event streams. Both come on top of `threads`.",
    )
    header_seconds: float = Field(
        default=10,
        ge=1,
        le=300,
        description="Time allowed for all headers of a request.",
    )
    body_seconds: float = Field(
        default=20,
        ge=1,
        le=3600,
        description="The period over which `body_rate` is averaged. A body may pause "
        "for less than this.",
    )
    body_rate: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="The lowest rate of a body, in bytes a second, averaged over each "
        "`body_seconds`. A slower one is refused (408). A client that reads an answer "
        "more slowly than this, averaged over three times as long, is cut off.",
    )
    secret: str = Field(
        default="",
        description="Signs artifact URLs, and encrypts the secrets of webhooks in the "
        "store. It has at least 32 characters and is the same in every process of the "
        "service. Changing it ends the links that are out; list the earlier one in "
        "`previous_secrets`.",
    )
    previous_secrets: Words = Field(
        default=[],
        description="Earlier values of `secret`. What they encrypted is still read: "
        "secrets of webhooks, manifests, answers to repeated requests.",
    )
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    cors_origins: Words = Field(
        default=[],
        description="Origins (https://host) whose pages may read answers; * allows "
        "all.",
    )
    auth: bool = Field(default=True, description="Require an API key.")
    flower_public_url: WebAddress | None = Field(
        default=None,
        description="Where Flower is for the browsers of operators; the operations "
        "page links to it.",
    )
    session_hours: float = Field(
        default=168,
        ge=0.1,
        le=24 * 90,
        description="How long a browser stays signed in.",
    )
    render_wait_seconds: float = Field(
        default=10,
        ge=0,
        le=60,
        description="How long the first request for an image waits until it is made; "
        "then it is told to come again (docs/how-to/images-on-request.md).",
    )
    render_cache_seconds: int = Field(
        default=7 * 24 * 3600,
        ge=0,
        le=365 * 24 * 3600,
        description="How long browsers and CDNs may keep such an image.",
    )
    keys: KeyList = Field(
        default=[],
        description="JSON list of keys that always exist: `id`, `name`, `sha256` "
        "of the key, and the limits of `framemill keys` (docs/how-to/api-keys.md).",
    )
    embedded: bool = Field(
        default=False,
        description="Allow `auth=false` beyond loopback, for a service behind another "
        "program that authenticates every caller.",
    )

    @model_validator(mode="after")
    def _keys_beyond_loopback(self) -> Api:
        if not (self.auth or self.embedded or is_loopback(self.host)):
            raise ValueError(
                "without API keys (FRAMEMILL_API_AUTH=false) anybody who reaches "
                f"{self.host} may do everything: require keys, listen on 127.0.0.1, or "
                "set FRAMEMILL_API_EMBEDDED=true if a program in front authenticates "
                "callers"
            )
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the secret and those before it: what may have encrypted a text."""
        return (self.secret, *self.previous_secrets)


class Egress(Section):
    """Connections to addresses that callers name: URL sources and webhooks."""

    http: bool = Field(
        default=False,
        description="Allow http as well as https; for tests and private nets.",
    )
    ports: Ports = [443]
    private_networks: Networks = Field(
        default=[],
        description="Private networks that may be reached, such as 10.0.0.0/8.",
    )
    redirects: int = Field(
        default=5, ge=0, le=20, description="For sources; webhooks follow none."
    )
    connect_seconds: float = Field(default=5, gt=0, le=60)
    source_seconds: float = Field(
        default=3600, gt=0, description="Time allowed for one download."
    )
    source_rate: int = Field(
        default=1000,
        ge=0,
        description="The least bytes a second that a source may come with, averaged "
        "over each FRAMEMILL_EGRESS_RATE_SECONDS of waiting for its server.",
    )
    rate_seconds: float = Field(default=60, gt=0)

    @property
    def schemes(self) -> frozenset[str]:
        """Return the schemes that a URL may have."""
        return frozenset({"https", "http"} if self.http else {"https"})

    @property
    def open_ports(self) -> frozenset[int]:
        """Return the ports that may be reached; with ``http`` also port 80."""
        return frozenset(self.ports) | ({80} if self.http else set())

    def fault_of(self, url: str) -> tuple[str, str] | None:
        """Return what is wrong with a URL's scheme or port, and a hint, or None.

        The worker checks the host when it connects. Raises ValueError if the text is
        not a URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in self.schemes:
            schemes = " or ".join(sorted(self.schemes, reverse=True))
            return (
                f"{parts.scheme or 'no scheme'} is not allowed here",
                f"use {schemes}; the setting is FRAMEMILL_EGRESS_HTTP",
            )
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
        if port not in self.open_ports:
            ports = " or ".join(map(str, sorted(self.open_ports)))
            return (
                f"port {port} is not allowed here",
                f"use {ports}; the setting is FRAMEMILL_EGRESS_PORTS",
            )
        return None


class Webhooks(Section):
    """Signed webhooks, after Standard Webhooks."""

    secret: WebhookSecret = Field(
        default="",
        description="Signs webhooks whose subscription has no secret of its own.",
    )
    timeout_seconds: float = Field(default=15, gt=0, le=60)
    retry_seconds: Delays = Field(
        default=[5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800],
        description="Pauses between attempts, about a day in all.",
    )
    log_hours: float = Field(
        default=720, gt=0, description="How long the log of deliveries is kept."
    )


class Smtp(Section):
    """The mail server for e-mail notifications; without ``host`` none are sent."""

    host: str | None = None
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: str | None = None
    sender: str = "Framemill <framemill@localhost>"
    recipients: Recipients = Field(
        default=[],
        description="Who may be sent e-mail, besides the recipients of each API key: "
        "an address, @DOMAIN, or * for anybody.",
    )
    timeout_seconds: float = Field(default=15, gt=0, le=60)


class RuleDestination(Section):
    """Where the results of a rule's jobs are copied.

    ``{key}`` in the prefix is the object's key, ``{job_id}`` the job's id; one of them
    keeps the jobs apart.
    """

    bucket: str
    prefix: str = Field(pattern=r"^[^/].*\{(key|job_id)\}")
    cache_control: str | None = None
    acl: Literal["private", "public-read"] | None = None
    tags: dict[str, str] = {}


class EventRule(Section):
    """Objects of ``bucket`` that match start a job with that preset."""

    bucket: str
    prefix: str = ""
    suffix: str = ""
    preset: str
    webhook: str | None = Field(
        default=None,
        description="URL notified of the job's end; signed with webhooks.secret.",
    )
    webhooks_of: str | None = Field(
        default=None,
        description="The id of the API key whose webhooks are notified too; default: "
        "events.owner, empty is none.",
    )
    destination: RuleDestination | None = None


class Events(Section):
    """Jobs that S3 notifications start."""

    rules: Annotated[list[EventRule], NoDecode, BeforeValidator(parse_json)] = Field(
        default=[],
        description="JSON list of rules; the first that matches an object applies.",
    )
    owner: str = Field(
        default="", description="Owner of the jobs: the id of an API key."
    )
    queue_url: str | None = Field(
        default=None, description="URL of the SQS queue that the poller reads."
    )
    dead_letter_url: str | None = Field(
        default=None, description="SQS queue for messages that cannot be processed."
    )
    endpoint_url: str | None = Field(
        default=None, description="Endpoint of SQS; default: the region's."
    )
    wait_seconds: int = Field(
        default=20, ge=0, le=20, description="How long a poll waits for messages."
    )
    max_receives: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Tries before a failing message goes to the dead-letter queue.",
    )
    token: str = Field(
        default="",
        description="Bearer token of the HTTP endpoint; empty: no token is accepted.",
    )
    topics: Words = Field(
        default=[],
        description="ARNs of the SNS topics that the HTTP endpoint accepts.",
    )


class Log(Section):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="One JSON object a line (json), lines for people (console), or "
        "console where standard error is a terminal and json elsewhere (auto).",
    )
    queues_seconds: float = Field(
        default=0,
        ge=0,
        description="How often the reaper logs the state of each queue, as the event "
        "`queue.state`; 0 is never. For what scales workers by logs, "
        "see docs/how-to/monitoring.md.",
    )


class Traces(Section):
    """Traces of the API and the workers, by OpenTelemetry."""

    enabled: bool = Field(
        default=False,
        description="Send traces (OTLP over HTTP). Needs `framemill[otel]`; variables "
        "of OpenTelemetry, such as OTEL_EXPORTER_OTLP_ENDPOINT, say where to "
        "(docs/how-to/monitoring.md).",
    )


class Metrics(Section):
    """Where a worker, or the reaper, serves its metrics; the API has ``/metrics``."""

    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Whoever reaches it reads the metrics "
        "without a key.",
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port to listen on; 0: none. Each worker and each reaper of a host "
        "needs a port of its own.",
    )

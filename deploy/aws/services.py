"""The parts as services of ECS on Fargate, and the load balancer in front."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager

from deploy.aws import data, rights
from deploy.aws.choices import Choices, Scale
from deploy.aws.data import Data
from deploy.aws.network import API, FLOWER, Network

# Fargate allows 120 at most; an interruption of Spot is announced 120 before.
STOP_SECONDS, SHUTDOWN_SECONDS = 120, 90
# Tasks that a worker does at a time.
CONCURRENCY = 2
# The reaper tells the queues twice in each minute of the metrics made of it.
QUEUES_SECONDS = 30
SCRATCH_GIB = {"fast": 60, "slow": 120}
_SYSTEM_GIB = 21
PRESETS = {"arrived": [{"kind": "thumbnail"}, {"kind": "storyboard"}]}


@dataclass(frozen=True)
class Part:
    """One service of ECS: what it runs, how large a task is, what it needs."""

    name: str
    image: str
    cpu: int
    memory: int
    group: ec2.SecurityGroup
    settings: dict[str, str]
    secrets: dict[str, secretsmanager.Secret]
    command: list[str] | None = None
    port: int | None = None
    health: list[str] | None = None
    disk: int = _SYSTEM_GIB
    folders: tuple[str, ...] = ("/tmp",)  # noqa: S108 - the container's own
    stop_seconds: int = 60
    spot: bool = False
    # None where scaling says how many.
    desired: int | None = 1


@dataclass
class Services:
    """What runs, by name."""

    cluster: ecs.Cluster
    balancer: elbv2.ApplicationLoadBalancer
    target: elbv2.ApplicationTargetGroup
    parts: dict[str, ecs.FargateService] = field(default_factory=dict)
    logs: dict[str, logs.LogGroup] = field(default_factory=dict)


def build(
    stack: Stack, choices: Choices, scale: Scale, network: Network, stored: Data
) -> Services:
    """Make the cluster, the services and the load balancer."""
    cluster = ecs.Cluster(
        stack,
        "Cluster",
        vpc=network.vpc,
        container_insights_v2=ecs.ContainerInsights.ENABLED,
    )
    capacity = ecs.CfnClusterCapacityProviderAssociations(
        stack,
        "Capacity",
        cluster=cluster.cluster_name,
        capacity_providers=["FARGATE", "FARGATE_SPOT"],
        default_capacity_provider_strategy=[],
    )
    balancer, listener = _balancer(stack, choices, network, stored)
    url = (
        choices.public_url or f"{_scheme(choices)}://{balancer.load_balancer_dns_name}"
    )
    made: dict[str, ecs.FargateService] = {}
    groups: dict[str, logs.LogGroup] = {}
    for part in _parts(choices, scale, network, stored, url):
        made[part.name], groups[part.name] = _service(stack, choices, cluster, part)
        # Else it would be taken away while they still use it.
        made[part.name].node.add_dependency(capacity)
    _grant(made, stored)
    target = listener.add_targets(
        "Api",
        port=API,
        protocol=elbv2.ApplicationProtocol.HTTP,
        targets=[made["api"]],
        # As long as requests that run may take to end.
        deregistration_delay=Duration.seconds(35),
        health_check=elbv2.HealthCheck(path="/healthz", interval=Duration.seconds(10)),
    )
    listener.add_targets(
        "Flower",
        port=FLOWER,
        protocol=elbv2.ApplicationProtocol.HTTP,
        targets=[made["flower"]],
        priority=10,
        conditions=[elbv2.ListenerCondition.path_patterns(["/flower/*"])],
        health_check=elbv2.HealthCheck(path="/flower/healthcheck"),
    )
    CfnOutput(stack, "Url", value=url, description="Where the API is")
    return Services(cluster, balancer, target, made, groups)


def _scheme(choices: Choices) -> str:
    return "https" if choices.certificate else "http"


def _balancer(
    stack: Stack, choices: Choices, network: Network, stored: Data
) -> tuple[elbv2.ApplicationLoadBalancer, elbv2.ApplicationListener]:
    balancer = elbv2.ApplicationLoadBalancer(
        stack,
        "LoadBalancer",
        vpc=network.vpc,
        internet_facing=True,
        security_group=network.balancer,
        # An answer to `Prefer: wait=60` takes a minute.
        idle_timeout=Duration.seconds(180),
        drop_invalid_header_fields=True,
    )
    balancer.log_access_logs(stored.logs, "balancer")
    tls = {}
    if choices.certificate:
        made = acm.Certificate.from_certificate_arn(
            stack, "Certificate", choices.certificate
        )
        tls = {"certificates": [made], "ssl_policy": elbv2.SslPolicy.RECOMMENDED_TLS}
    listener = balancer.add_listener(
        "Listener",
        port=443 if tls else 80,
        protocol=elbv2.ApplicationProtocol.HTTPS
        if tls
        else elbv2.ApplicationProtocol.HTTP,
        # The security group says who may come.
        open=False,
        **tls,
    )
    return balancer, listener


def _settings(stored: Data, url: str) -> dict[str, str]:
    """Return the settings that all parts share."""
    return {
        "FRAMEMILL_STORE_DURABILITY": "storage",
        "FRAMEMILL_BLOBS_BACKEND": "s3",
        "FRAMEMILL_BLOBS_BUCKET": stored.files.bucket_name,
        "FRAMEMILL_S3_REGION": Stack.of(stored.files).region,
        "FRAMEMILL_S3_ADDRESSING_STYLE": "virtual",
        "FRAMEMILL_SOURCE_BUCKETS": stored.videos.bucket_name,
        "FRAMEMILL_API_PUBLIC_URL": url,
        "FRAMEMILL_PRESETS": json.dumps(PRESETS),
    }


def _settings_of_the_api(choices: Choices, stored: Data, url: str) -> dict[str, str]:
    api = {
        "FRAMEMILL_API_HOST": "0.0.0.0",  # noqa: S104 - of its own network interface
        "FRAMEMILL_API_THREADS": "32",
        "FRAMEMILL_API_TRUSTED_PROXIES": "1",
        "FRAMEMILL_API_FLOWER_PUBLIC_URL": f"{url}/flower/",
    }
    if choices.key_sha256:
        first = {"id": "first", "name": "first key", "sha256": choices.key_sha256}
        may = {"scopes": ["submit", "read", "admin"]}
        if stored.published:
            may["destinations"] = [stored.published.bucket_name]
        api["FRAMEMILL_API_KEYS"] = json.dumps([first | may])
    return api


def _parts(
    choices: Choices, scale: Scale, network: Network, stored: Data, url: str
) -> list[Part]:
    settings = _settings(stored, url)
    secrets = {
        "FRAMEMILL_BROKER_URL": stored.secrets["broker"],
        "FRAMEMILL_STORE_URL": stored.secrets["store"],
        "FRAMEMILL_API_SECRET": stored.secrets["api"],
        "FRAMEMILL_WEBHOOKS_SECRET": stored.secrets["webhooks"],
    }
    api = _settings_of_the_api(choices, stored, url)
    events = {
        "FRAMEMILL_EVENTS_QUEUE_URL": stored.events.queue_url,
        "FRAMEMILL_EVENTS_DEAD_LETTER_URL": stored.dead.queue_url,
        "FRAMEMILL_EVENTS_RULES": data.rules(stored.videos),
        "FRAMEMILL_EVENTS_OWNER": "first",
    }
    told = {"FRAMEMILL_LOG_QUEUES_SECONDS": str(QUEUES_SECONDS)}
    flower = {
        "CELERY_BROKER_URL": stored.secrets["broker"],
        "FLOWER_BASIC_AUTH": stored.secrets["flower"],
    }
    web, workers = network.web, network.workers
    return [
        Part(
            *("api", "api", 1024, 2048, web, settings | api, secrets),
            port=API,
            desired=scale.api,
        ),
        *(_worker(queue, workers, settings, secrets) for queue in SCRATCH_GIB),
        Part(
            *("reaper", "worker", 256, 512, workers, settings | told, secrets),
            command=["python", "-m", "worker.maintenance"],
            health=["CMD", "python", "-m", "worker.alive", "reaper"],
            folders=("/tmp", "/scratch"),  # noqa: S108 - the container's own
        ),
        Part(
            *("poller", "worker", 256, 512, workers, settings | events, secrets),
            command=["python", "-m", "worker.s3_poller"],
            folders=("/tmp", "/scratch"),  # noqa: S108 - the container's own
        ),
        Part(
            *("flower", "flower", 256, 512, web, {"FLOWER_URL_PREFIX": "flower"}),
            flower,
            port=FLOWER,
        ),
    ]


def _worker(
    queue: str,
    group: ec2.SecurityGroup,
    settings: dict[str, str],
    secrets: dict[str, secretsmanager.Secret],
) -> Part:
    own = {
        "FRAMEMILL_WORKER_QUEUES": queue,
        "FRAMEMILL_WORKER_CONCURRENCY": str(CONCURRENCY),
        "FRAMEMILL_WORKER_SHUTDOWN_SECONDS": str(SHUTDOWN_SECONDS),
        # The rest of the disk is for tasks that run.
        "FRAMEMILL_WORKER_CACHE_BYTES": str(SCRATCH_GIB[queue] // 2 * 2**30),
    }
    return Part(
        *(f"worker-{queue}", "worker", 2048, 8192, group, settings | own, secrets),
        health=["CMD", "python", "-m", "worker.alive", "worker"],
        disk=SCRATCH_GIB[queue],
        folders=("/tmp", "/scratch"),  # noqa: S108 - the container's own
        stop_seconds=STOP_SECONDS,
        # An interruption gives the tasks back, and another worker does them.
        spot=queue == "slow",
        desired=None,
    )


def _service(
    stack: Stack, choices: Choices, cluster: ecs.Cluster, part: Part
) -> tuple[ecs.FargateService, logs.LogGroup]:
    name = _id(part)
    group = logs.LogGroup(
        stack,
        f"{name}Log",
        retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.DESTROY,
    )
    definition = _definition(stack, choices, part, group)
    provider = "FARGATE_SPOT" if part.spot else "FARGATE"
    service = ecs.FargateService(
        stack,
        name,
        cluster=cluster,
        task_definition=definition,
        desired_count=part.desired,
        security_groups=[part.group],
        capacity_provider_strategies=[
            ecs.CapacityProviderStrategy(capacity_provider=provider, weight=1)
        ],
        circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
        min_healthy_percent=100,
        max_healthy_percent=200,
    )
    return service, group


def _definition(
    stack: Stack, choices: Choices, part: Part, group: logs.LogGroup
) -> ecs.FargateTaskDefinition:
    definition = ecs.FargateTaskDefinition(
        stack,
        f"{_id(part)}Task",
        cpu=part.cpu,
        memory_limit_mib=part.memory,
        ephemeral_storage_gib=part.disk,
        runtime_platform=ecs.RuntimePlatform(
            cpu_architecture=ecs.CpuArchitecture.X86_64,
            operating_system_family=ecs.OperatingSystemFamily.LINUX,
        ),
        volumes=[ecs.Volume(name=one.strip("/")) for one in part.folders],
    )
    container = definition.add_container(
        part.name,
        image=_image(stack, choices, part.image),
        command=part.command,
        environment=part.settings,
        secrets={
            key: ecs.Secret.from_secrets_manager(value)
            for key, value in part.secrets.items()
        },
        readonly_root_filesystem=True,
        stop_timeout=Duration.seconds(part.stop_seconds),
        logging=ecs.LogDriver.aws_logs(stream_prefix=part.name, log_group=group),
        health_check=part.health
        and ecs.HealthCheck(
            command=part.health,
            interval=Duration.seconds(60),
            timeout=Duration.seconds(20),
            retries=3,
            start_period=Duration.seconds(90),
        ),
        port_mappings=[ecs.PortMapping(container_port=part.port)]
        if part.port
        else None,
    )
    for one in part.folders:
        container.add_mount_points(
            ecs.MountPoint(
                container_path=one, source_volume=one.strip("/"), read_only=False
            )
        )
    return definition


def _id(part: Part) -> str:
    return part.name.title().replace("-", "")


def _image(stack: Stack, choices: Choices, name: str) -> ecs.ContainerImage:
    found = stack.node.try_find_child(f"Image-{name}")
    repository = found or ecr.Repository.from_repository_name(
        stack, f"Image-{name}", f"{choices.images}-{name}"
    )
    return ecs.ContainerImage.from_ecr_repository(repository, choices.tag)


def _grant(made: dict[str, ecs.FargateService], stored: Data) -> None:
    """Let each part do what it does, and no part what another does."""
    arns = {
        "files": stored.files.bucket_arn,
        "videos": stored.videos.bucket_arn,
        "events": stored.events.queue_arn,
        "dead": stored.dead.queue_arn,
    }
    if stored.published:
        arns["published"] = stored.published.bucket_arn
    for name, service in made.items():
        rights.allow(name.partition("-")[0], service.task_definition.task_role, arns)

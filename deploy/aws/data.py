"""Buckets, the queue of S3 events, the two Valkey servers, and secrets."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import CfnOutput, Duration, Fn, RemovalPolicy, SecretValue, Stack
from aws_cdk import aws_elasticache as elasticache
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs

from deploy.aws.choices import Choices, Scale
from deploy.aws.network import REDIS, Network

# The poller itself puts a message aside after FRAMEMILL_EVENTS_MAX_RECEIVES (5), with
# the reason. This is for what it cannot even do that with.
RECEIVES = 10
# An unfinished upload ends after FRAMEMILL_RETENTION_UPLOAD_HOURS (24); this is for
# what the service never got to know.
UPLOAD_DAYS = 3


@dataclass(frozen=True)
class Data:
    """What outlives a task of ECS."""

    files: s3.Bucket
    videos: s3.Bucket
    logs: s3.Bucket
    published: s3.Bucket | None
    events: sqs.Queue
    dead: sqs.Queue
    servers: dict[str, elasticache.CfnReplicationGroup]
    secrets: dict[str, secretsmanager.Secret]


def build(stack: Stack, choices: Choices, scale: Scale, network: Network) -> Data:
    """Make all of it; everything goes with the stack."""
    logs = _bucket(
        stack,
        "Logs",
        None,
        lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(30))],
        # CloudFront can write its log to no other kind of bucket.
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_PREFERRED
        if choices.cloudfront
        else None,
    )
    files = _bucket(
        stack,
        "Files",
        logs,
        lifecycle_rules=[
            s3.LifecycleRule(
                abort_incomplete_multipart_upload_after=Duration.days(UPLOAD_DAYS)
            )
        ],
        cors=[_cors(choices.origins)] if choices.origins else None,
    )
    videos = _bucket(
        stack,
        "Videos",
        logs,
        lifecycle_rules=[
            s3.LifecycleRule(
                expiration=Duration.days(30),
                abort_incomplete_multipart_upload_after=Duration.days(UPLOAD_DAYS),
            )
        ],
    )
    published = _bucket(stack, "Published", logs) if choices.cloudfront else None
    dead = _queue(stack, "DeadEvents", retention_period=Duration.days(14))
    events = _queue(
        stack,
        "Events",
        visibility_timeout=Duration.seconds(120),
        dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=RECEIVES, queue=dead),
    )
    _notify(stack, videos, events)
    servers, secrets = _servers(stack, scale, network)
    secrets |= _secrets(stack)
    return Data(files, videos, logs, published, events, dead, servers, secrets)


def _secrets(stack: Stack) -> dict[str, secretsmanager.Secret]:
    """Make the secrets of the API, of webhooks and of Flower."""
    secrets = {}
    secrets["api"] = secretsmanager.Secret(
        stack, "ApiSecret", generate_secret_string=_random(64)
    )
    # 44 letters and digits are the base64 of 33 bytes.
    random = secretsmanager.Secret(
        stack, "WebhooksRandom", generate_secret_string=_random(44)
    )
    secrets["webhooks"] = _made_of(stack, "WebhooksSecret", ["whsec_", random])
    secrets["flower_random"] = secretsmanager.Secret(
        stack, "FlowerPassword", generate_secret_string=_random(32)
    )
    secrets["flower"] = _made_of(
        stack, "FlowerAuth", ["operator:", secrets["flower_random"]]
    )
    return secrets


def _bucket(
    stack: Stack, name: str, logs: s3.Bucket | None, **more: object
) -> s3.Bucket:
    given: dict[str, object] = {
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "encryption": s3.BucketEncryption.S3_MANAGED,
        "enforce_ssl": True,
        "removal_policy": RemovalPolicy.DESTROY,
        "auto_delete_objects": True,
    }
    if logs is not None:
        given |= {
            "server_access_logs_bucket": logs,
            "server_access_logs_prefix": f"s3/{name.lower()}/",
        }
    return s3.Bucket(stack, name, **(given | more))


def _cors(origins: tuple[str, ...]) -> s3.CorsRule:
    """Let pages of these origins upload by signed requests, and read their ETags."""
    methods = s3.HttpMethods
    return s3.CorsRule(
        allowed_origins=list(origins),
        allowed_methods=[methods.PUT, methods.GET, methods.HEAD],
        allowed_headers=["*"],
        exposed_headers=["ETag"],
        max_age=3600,
    )


def _queue(stack: Stack, name: str, **more: object) -> sqs.Queue:
    return sqs.Queue(
        stack,
        name,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        removal_policy=RemovalPolicy.DESTROY,
        **more,
    )


def _notify(stack: Stack, videos: s3.Bucket, events: sqs.Queue) -> None:
    """Have S3 announce each new object of the bucket.

    The CDK's own way would add a Lambda that may change every bucket's notifications.
    """
    events.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["sqs:SendMessage"],
            principals=[iam.ServicePrincipal("s3.amazonaws.com")],
            resources=[events.queue_arn],
            # The bucket cannot be named: it is made after this policy.
            conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
        )
    )
    made: s3.CfnBucket = videos.node.default_child
    made.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        queue_configurations=[
            s3.CfnBucket.QueueConfigurationProperty(
                event="s3:ObjectCreated:*", queue=events.queue_arn
            )
        ]
    )
    made.node.add_dependency(events.node.find_child("Policy"))
    CfnOutput(
        stack,
        "VideosBucket",
        value=videos.bucket_name,
        description="Videos that arrive",
    )


def _servers(
    stack: Stack, scale: Scale, network: Network
) -> tuple[
    dict[str, elasticache.CfnReplicationGroup], dict[str, secretsmanager.Secret]
]:
    """Make the broker and the store: one primary each, cluster mode off."""
    subnets = elasticache.CfnSubnetGroup(
        stack,
        "Subnets",
        description="Broker and store",
        subnet_ids=[one.subnet_id for one in network.vpc.isolated_subnets],
    )
    options = elasticache.CfnParameterGroup(
        stack,
        "Options",
        cache_parameter_group_family="valkey8",
        description="Keep everything, and records small",
        properties={
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "2048",
            "stream-node-max-bytes": "1024",
        },
    )
    servers, secrets = {}, {}
    for name in ("broker", "store"):
        password = secretsmanager.Secret(
            stack, f"{name.title()}Password", generate_secret_string=_random(64)
        )
        server = _server(stack, name, scale, password)
        server.cache_parameter_group_name = options.ref
        server.cache_subnet_group_name = subnets.ref
        server.security_group_ids = [network.servers.security_group_id]
        place = f"@{server.attr_primary_end_point_address}:{REDIS}/0"
        secrets[name] = _made_of(
            stack,
            f"{name.title()}Url",
            ["rediss://:", password, f"{place}?ssl_cert_reqs=required"],
        )
        servers[name] = server
    return servers, secrets


def _server(
    stack: Stack, name: str, scale: Scale, password: secretsmanager.Secret
) -> elasticache.CfnReplicationGroup:
    made = elasticache.CfnReplicationGroup(
        stack,
        name.title(),
        replication_group_description=f"Framemill's {name}",
        engine="valkey",
        engine_version="8.1",
        cluster_mode="disabled",
        cache_node_type=scale.node,
        num_cache_clusters=1 + scale.copies,
        automatic_failover_enabled=scale.copies > 0,
        multi_az_enabled=scale.copies > 0,
        at_rest_encryption_enabled=True,
        transit_encryption_enabled=True,
        transit_encryption_mode="required",
        auth_token=password.secret_value.unsafe_unwrap(),
        snapshot_retention_limit=7 if name == "store" else 1,
        auto_minor_version_upgrade=True,
        port=REDIS,
    )
    made.apply_removal_policy(RemovalPolicy.DESTROY)
    return made


def _random(letters: int) -> secretsmanager.SecretStringGenerator:
    return secretsmanager.SecretStringGenerator(
        password_length=letters, exclude_punctuation=True
    )


def _made_of(
    stack: Stack, name: str, parts: list[str | secretsmanager.Secret]
) -> secretsmanager.Secret:
    """Return a secret that CloudFormation puts together of texts and other secrets."""
    texts = [
        one if isinstance(one, str) else one.secret_value.unsafe_unwrap()
        for one in parts
    ]
    return secretsmanager.Secret(
        stack,
        name,
        secret_string_value=SecretValue.unsafe_plain_text(Fn.join("", texts)),
    )


def rules(videos: s3.Bucket) -> str:
    """Return FRAMEMILL_EVENTS_RULES: every new video gets the preset ``arrived``."""
    return json.dumps([{"bucket": videos.bucket_name, "preset": "arrived"}])

"""Scaling by the age of the queues, alarms, and a dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from deploy.aws.choices import Choices, Scale
from deploy.aws.data import Data
from deploy.aws.services import CONCURRENCY, Services

NAMESPACE, EVENT = "Framemill", "queue.state"
# What the reaper says of each queue (worker/maintenance/queues.py), and its metric.
FIELDS = {
    "oldest_seconds": "OldestSeconds",
    "ready": "ReadyTasks",
    "running": "RunningTasks",
    "workers": "Workers",
}
QUEUES = ("fast", "slow")
_MINUTE = Duration.minutes(1)
# 0: one worker fewer could still run all that runs. 1: none waits, all are needed.
# More: the seconds that the oldest task has waited.
NEED = (
    "IF(ready > 0, 1 + oldest_seconds, "
    f"IF(running > {CONCURRENCY} * (workers - 1), 1, 0))"
)
# Tasks that wait so many seconds start so many more workers.
_STEPS = ((30, 1), (300, 3), (900, 6))

# The metrics of a queue by the field of the log.
Queue = dict[str, cloudwatch.Metric]


def build(
    stack: Stack, choices: Choices, scale: Scale, stored: Data, services: Services
) -> None:
    """Make the metrics, what follows from them, and where to look at them."""
    queues = {name: _from_the_log(stack, services, name) for name in QUEUES}
    for name, metrics in queues.items():
        _scale(services, name, getattr(scale, name), metrics)
    watched = _watched(scale, stored, services, queues)
    alarms = [_alarm(stack, one) for one in watched]
    topic = _topic(stack, choices)
    for alarm in alarms:
        alarm.add_alarm_action(actions.SnsAction(topic))
        alarm.add_ok_action(actions.SnsAction(topic))
    cloudwatch.Dashboard(
        stack,
        "Dashboard",
        widgets=[
            [cloudwatch.AlarmStatusWidget(alarms=alarms, width=24)],
            *_graphs(scale, stored, services, queues),
        ],
    )


def _from_the_log(stack: Stack, services: Services, queue: str) -> Queue:
    """Return metrics of a queue, out of what the reaper logs.

    So no part needs the right to write metrics, which AWS cannot confine to a name.
    """
    found = {}
    for field, name in FIELDS.items():
        logs.MetricFilter(
            stack,
            f"{name}{queue.title()}",
            log_group=services.logs["reaper"],
            metric_namespace=NAMESPACE,
            metric_name=f"{name}-{queue}",
            filter_pattern=logs.FilterPattern.all(
                logs.FilterPattern.string_value("$.event", "=", EVENT),
                logs.FilterPattern.string_value("$.queue", "=", queue),
            ),
            metric_value=f"$.{field}",
        )
        found[field] = cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=f"{name}-{queue}",
            statistic="Maximum",
            period=_MINUTE,
            label=queue,
        )
    return found


def _scale(
    services: Services, queue: str, bounds: tuple[int, int], metrics: Queue
) -> None:
    """Add workers while tasks wait; end one only where the others have room.

    What ran at a worker that ends is given back. The last one never ends amid a task,
    else a long task would begin again and again.
    """
    least, most = bounds
    target = services.parts[f"worker-{queue}"].auto_scale_task_count(
        min_capacity=least, max_capacity=most
    )
    target.scale_on_metric(
        "ByNeed",
        metric=cloudwatch.MathExpression(
            expression=NEED, using_metrics=dict(metrics), period=_MINUTE, label=queue
        ),
        scaling_steps=[
            scaling.ScalingInterval(upper=0.5, change=-1),
            *(
                scaling.ScalingInterval(lower=seconds, change=workers)
                for seconds, workers in _STEPS
            ),
        ],
        adjustment_type=scaling.AdjustmentType.CHANGE_IN_CAPACITY,
        cooldown=Duration.minutes(2),
        evaluation_periods=1,
    )


@dataclass(frozen=True)
class Watched:
    """A metric, and what it means where it is out of bounds for so many minutes."""

    name: str
    text: str
    metric: cloudwatch.IMetric
    threshold: float
    minutes: int = 5
    # Whether too little is wrong; then nothing at all is, too.
    least: bool = False


def _watched(
    scale: Scale, stored: Data, services: Services, queues: dict[str, Queue]
) -> Iterator[Watched]:
    for queue, metrics in queues.items():
        yield Watched(
            f"Waiting{queue.title()}",
            f"Tasks of {queue} wait for 15 minutes: more workers, or look at their log",
            metrics["oldest_seconds"],
            900,
        )
    yield Watched(
        "NoReaper",
        "The reaper says nothing: lost tasks are not given to other workers",
        queues["fast"]["workers"].with_(statistic="SampleCount", label="reports"),
        1,
        least=True,
    )
    yield Watched(
        "DeadEvents",
        "Messages of S3 that the poller could not read",
        stored.dead.metric_approximate_number_of_messages_visible(period=_MINUTE),
        1,
        minutes=1,
    )
    target, codes = services.target.metrics, elbv2.HttpCodeTarget.TARGET_5XX_COUNT
    failed = target.http_code_target(codes, period=_MINUTE)
    yield Watched("Errors", "The API answers with errors of its own", failed, 5)
    ill = target.unhealthy_host_count(period=_MINUTE)
    yield Watched("NoApi", "A task of the API does not answer", ill, 1)
    for name, server in stored.servers.items():
        for metric, text in (
            ("DatabaseMemoryUsagePercentage", "memory is nearly full: see Scaling"),
            ("EngineCPUUtilization", "one core is busy, and it uses no other"),
        ):
            for number, found in enumerate(_of_nodes(server.ref, metric, scale), 1):
                label = f"{name.title()}{metric}{number}"
                yield Watched(label, f"{name}: {text}", found, 80)


def _alarm(stack: Stack, one: Watched) -> cloudwatch.Alarm:
    kinds, gaps = cloudwatch.ComparisonOperator, cloudwatch.TreatMissingData
    return cloudwatch.Alarm(
        stack,
        f"Alarm{one.name}",
        alarm_description=one.text,
        metric=one.metric,
        threshold=one.threshold,
        evaluation_periods=one.minutes,
        comparison_operator=kinds.LESS_THAN_THRESHOLD
        if one.least
        else kinds.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
        treat_missing_data=gaps.BREACHING if one.least else gaps.NOT_BREACHING,
    )


def _of_nodes(group: str, metric: str, scale: Scale) -> list[cloudwatch.Metric]:
    """Return a metric of each node; a failover makes another one the primary."""
    nodes = [f"{group}-{number:03}" for number in range(1, 2 + scale.copies)]
    return [
        cloudwatch.Metric(
            namespace="AWS/ElastiCache",
            metric_name=metric,
            dimensions_map={"CacheClusterId": node},
            statistic="Maximum",
            period=_MINUTE,
        )
        for node in nodes
    ]


def _topic(stack: Stack, choices: Choices) -> sns.Topic:
    key = kms.Key(
        stack,
        "AlarmKey",
        enable_key_rotation=True,
        pending_window=Duration.days(7),
        removal_policy=RemovalPolicy.DESTROY,
    )
    topic = sns.Topic(stack, "Alarms", master_key=key, enforce_ssl=True)
    key.add_to_resource_policy(
        iam.PolicyStatement(
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            resources=["*"],
        )
    )
    if choices.mail:
        topic.add_subscription(subscriptions.EmailSubscription(choices.mail))
    return topic


def _graphs(
    scale: Scale, stored: Data, services: Services, queues: dict[str, Queue]
) -> list[list[cloudwatch.GraphWidget]]:
    def graph(
        title: str, metrics: Iterable[cloudwatch.IMetric]
    ) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8)

    def of_queues(field: str) -> list[cloudwatch.Metric]:
        return [metrics[field] for metrics in queues.values()]

    parts = services.parts.items()
    took = services.target.metrics.target_response_time
    memory = [
        found
        for one in stored.servers.values()
        for found in _of_nodes(one.ref, "DatabaseMemoryUsagePercentage", scale)
    ]
    return [
        [
            graph("Oldest task that waits (s)", of_queues("oldest_seconds")),
            graph("Tasks that wait", of_queues("ready")),
            graph("Workers", of_queues("workers")),
        ],
        [
            graph("Time to an answer (s)", [took(statistic=p) for p in ("p50", "p99")]),
            graph("Memory of the servers (%)", memory),
        ],
        [
            graph(
                "CPU of the parts (%)",
                [one.metric_cpu_utilization(label=name) for name, one in parts],
            ),
            graph(
                "Memory of the parts (%)",
                [one.metric_memory_utilization(label=name) for name, one in parts],
            ),
        ],
    ]

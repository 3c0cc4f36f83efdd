"""The app of deploy/aws: without findings, and at one with the settings."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

from common.access.keys import declared_keys
from common.jobs.queue import QUEUES
from common.jobs.store import JobStore
from common.settings.load import Settings
from deploy.aws import choices
from tests.deploy.aws_app import (
    CHOICES,
    PARTS,
    Template,
    camel,
    folder,
    listed,
    run_app,
)
from tests.deploy.compose_file import DOCKERFILES, command, image_command
from tests.tools import CHECKS

pytestmark = [pytest.mark.deploy, pytest.mark.needs("cfn-lint")]
each = pytest.mark.parametrize("name", CHOICES)
OURS = [part for part in PARTS if part != "flower"]
IMAGES = dict.fromkeys(PARTS, "worker") | {"api": "api", "flower": "flower"}


@each
def test_the_linter_of_cloudformation_finds_nothing(name):
    templates = sorted(folder(name).glob("*.template.json"))
    done = subprocess.run(
        [CHECKS / "cfn-lint", *templates],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert len(templates) == 2
    assert done.returncode == 0, done.stdout


def test_every_finding_of_cdk_nag_is_argued_and_nothing_else_is(tmp_path):
    program = (
        "from deploy.aws import findings, __main__ as app\n"
        "print(*findings.ARGUED, sep='\\n')\n"
        "findings.argue = lambda stack: None\n"
        "app.main()\n"
    )
    done = run_app(CHOICES["full"], tmp_path, "-c", program)

    report = json.loads((tmp_path / "validation-report.json").read_text())
    (found,) = [
        {one["ruleName"] for one in plugin["violations"]}
        for plugin in report["pluginReports"]
        if plugin["pluginName"] == "AwsSolutions"
    ]
    # Only the size small has one node for each server.
    assert found | {"AwsSolutions-AEC4"} == set(done.stdout.split("\n")) - {""}
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("choice", "value"),
    [("size", "huge"), ("key_sha256", "secret"), ("origins", "http://a.example.com")],
)
def test_a_wrong_choice_says_what_would_be_right(choice, value):
    said = re.escape(f"-c {choice}={value!r} has the wrong form: ")
    with pytest.raises(choices.WrongChoice, match=said):
        choices.read({choice: value}.get)


@each
@pytest.mark.parametrize("part", OURS)
def test_every_variable_is_a_setting_with_a_valid_value(name, part, monkeypatch):
    template = Template(name)
    for variable, value in template.environment(part).items():
        assert variable.startswith("FRAMEMILL_")
        monkeypatch.setenv(variable, value)

    settings = Settings.load()

    assert settings.blobs.backend == "s3"
    assert settings.store.durability == "storage"
    assert settings.api.auth
    # Of the role of the task.
    assert settings.s3.access_key_id is None
    for url, server in ((settings.broker.url, "broker"), (settings.store.url, "store")):
        parts = urlsplit(url)
        assert (parts.scheme, parts.hostname, parts.port) == ("rediss", server, 6379)
        assert parse_qs(parts.query) == {"ssl_cert_reqs": ["required"]}
        redis.Redis.from_url(url)


@each
def test_the_api_is_set_up_as_the_load_balancer_sees_it(name, monkeypatch):
    template = Template(name)
    for variable, value in template.environment("api").items():
        monkeypatch.setenv(variable, value)
    api = Settings.load().api
    secure = bool(CHOICES[name].get("certificate"))
    listener = template.one("AWS::ElasticLoadBalancingV2::Listener")
    balancer = template.one("AWS::ElasticLoadBalancingV2::LoadBalancer")
    targets = template.all("AWS::ElasticLoadBalancingV2::TargetGroup").values()
    rule = template.one("AWS::ElasticLoadBalancingV2::ListenerRule")

    assert api.public_url.startswith("https://" if secure else "http://")
    assert (api.host, api.trusted_proxies) == ("0.0.0.0", 1)
    assert (listener["Port"], listener["Protocol"]) == (
        (443, "HTTPS") if secure else (80, "HTTP")
    )
    assert {(one["Port"], one["HealthCheckPath"]) for one in targets} == {
        (8000, "/healthz"),
        (5555, "/flower/healthcheck"),
    }
    assert template.container("api")["PortMappings"][0]["ContainerPort"] == 8000
    assert "--bind 0.0.0.0:8000" in " ".join(image_command(DOCKERFILES["api"]))
    assert "--port=5555" in image_command(DOCKERFILES["flower"])
    assert api.flower_public_url == f"{api.public_url}/flower/"
    (condition,) = rule["Conditions"]
    assert condition["PathPatternConfig"] == {"Values": ["/flower/*"]}
    attributes = {
        one["Key"]: one["Value"] for one in balancer["LoadBalancerAttributes"]
    }
    assert int(attributes["idle_timeout.timeout_seconds"]) > 60


def test_the_first_key_is_known_by_its_hash_and_may_publish(monkeypatch):
    template = Template("full")
    for variable, value in template.environment("api").items():
        monkeypatch.setenv(variable, value)
    settings = Settings.load()

    (key,) = declared_keys(settings)
    assert key.sha256 == CHOICES["full"]["key_sha256"]
    assert key.destinations == ["published616fb537"]
    assert key.id == template.environment("poller")["FRAMEMILL_EVENTS_OWNER"]
    assert "FRAMEMILL_API_KEYS" not in Template("small").environment("api")


def test_the_poller_reads_what_s3_announces(monkeypatch):
    template = Template("full")
    for variable, value in template.environment("poller").items():
        monkeypatch.setenv(variable, value)
    settings = Settings.load()
    videos = template.one("AWS::S3::Bucket", "Videos")
    (told,) = videos["NotificationConfiguration"]["QueueConfigurations"]
    events = template.one("AWS::SQS::Queue", "Events")
    dead = template.one("AWS::SQS::Queue", "DeadEvents")

    assert told["Event"] == "s3:ObjectCreated:*"
    assert template.text(told["Queue"]) == "arn:EventsD32975C2"
    assert settings.events.queue_url == "eventsd32975c2"
    assert settings.events.dead_letter_url == "deadevents7ec95a9c"
    redrive = events["RedrivePolicy"]
    assert template.text(redrive["deadLetterTargetArn"]) == "arn:DeadEvents7EC95A9C"
    # The poller says why it puts a message aside; the queue could not.
    assert redrive["maxReceiveCount"] > settings.events.max_receives
    assert events["VisibilityTimeout"] > settings.events.wait_seconds
    assert dead["MessageRetentionPeriod"] == 14 * 86400
    (rule,) = settings.events.rules
    assert [rule.bucket] == settings.source.buckets == ["videos88ae8da0"]
    assert rule.preset in settings.presets
    policy = template.one("AWS::SQS::QueuePolicy", "EventsPolicy")
    (allowed,) = [
        one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"
    ]
    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert allowed["Action"] == "sqs:SendMessage"
    assert allowed["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


@each
def test_no_role_has_a_wildcard_where_something_can_be_named(name):
    template = Template(name)
    for policy in template.all("AWS::IAM::Policy").values():
        for one in policy["PolicyDocument"]["Statement"]:
            actions = listed(one["Action"])
            assert not any("*" in action for action in actions)
            if "*" in listed(one["Resource"]):
                assert actions == ["ecr:GetAuthorizationToken"]
            for resource in listed(one["Resource"]):
                text = template.text(resource)
                # All objects of one bucket.
                assert re.fullmatch(r"\*|arn:\w+(/\*)?|[^*]+", text), text


@each
def test_every_part_has_roles_of_its_own(name):
    template = Template(name)
    roles = [
        template.task(part)[key]["Fn::GetAtt"][0]
        for part in PARTS
        for key in ("TaskRoleArn", "ExecutionRoleArn")
    ]

    assert len(set(roles)) == 2 * len(PARTS)
    assert template.rights("flower") == {}
    for role in template.all("AWS::IAM::Role").values():
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"].keys() == {"Service"}


@each
@pytest.mark.parametrize("part", PARTS)
def test_a_part_can_read_its_own_secrets_alone(name, part):
    template = Template(name)
    container = template.container(part)
    given = {one["ValueFrom"]["Ref"] for one in container["Secrets"]}
    role = template.task(part)["ExecutionRoleArn"]["Fn::GetAtt"][0]
    readable = {
        one["Resource"]["Ref"]
        for one in template.statements(role)
        if "secretsmanager:GetSecretValue" in one["Action"]
    }
    plain = [one["Name"] for one in container.get("Environment", [])]

    assert readable == given
    assert not [one for one in plain if re.search(r"SECRET|PASSWORD|AUTH$", one)]
    assert "FRAMEMILL_STORE_URL" not in plain


@each
@pytest.mark.parametrize("part", PARTS)
def test_a_task_cannot_write_to_its_image_and_runs_where_ffmpeg_does(name, part):
    task, container = Template(name).task(part), Template(name).container(part)
    image = DOCKERFILES[IMAGES[part]].read_text()
    mounts = {one["ContainerPath"] for one in container["MountPoints"]}

    assert container["ReadonlyRootFilesystem"] is True
    assert not container.get("Privileged")
    assert "User" not in container
    assert task["RuntimePlatform"]["CpuArchitecture"] == "X86_64"
    # Fargate gives a volume to root, unless the image declares it.
    declared = set(re.findall(r"^VOLUME (.+)$", image, re.MULTILINE))
    assert mounts == {one for line in declared for one in line.split()}
    assert len(task["Volumes"]) == len(mounts)
    assert f"framemill-{IMAGES[part]}:latest" in json.dumps(container["Image"])


@each
def test_the_parts_run_what_compose_runs(name):
    template = Template(name)
    for part, service in (("reaper", "reaper"), ("poller", "s3-poller")):
        assert template.container(part)["Command"] == command(service)
    for part in ("api", "worker-fast", "worker-slow", "flower"):
        assert "Command" not in template.container(part)
    for part in ("worker-fast", "worker-slow", "reaper"):
        words = template.container(part)["HealthCheck"]["Command"]
        assert words[:4] == ["CMD", "python", "-m", "worker.alive"]
        assert words[4] == part.partition("-")[0]


@each
def test_workers_serve_every_queue_and_stop_in_time(name):
    template = Template(name)
    for queue in QUEUES:
        part = f"worker-{queue}"
        values = template.environment(part)
        container, task = template.container(part), template.task(part)
        (capacity,) = template.service(part)["CapacityProviderStrategy"]
        assert values["FRAMEMILL_WORKER_QUEUES"] == queue
        shutdown = int(values["FRAMEMILL_WORKER_SHUTDOWN_SECONDS"])
        # 120 s are the most that Fargate gives.
        assert shutdown + 15 <= container["StopTimeout"] <= 120
        spot = queue == "slow"
        assert capacity["CapacityProvider"] == ("FARGATE_SPOT" if spot else "FARGATE")
        disk = task["EphemeralStorage"]["SizeInGiB"]
        assert int(values["FRAMEMILL_WORKER_CACHE_BYTES"]) <= disk * 2**30 / 2


@each
def test_services_end_before_their_capacity_goes(name):
    template = Template(name)
    for part, one in template.resources.items():
        if one["Type"] == "AWS::ECS::Service":
            assert "Capacity" in one["DependsOn"], part


@each
def test_scaling_alone_says_how_many_workers_run(name):
    template = Template(name)
    targets = template.all("AWS::ApplicationAutoScaling::ScalableTarget")

    assert len(targets) == len(QUEUES)
    for queue in QUEUES:
        assert "DesiredCount" not in template.service(f"worker-{queue}")
        target = template.one(
            "AWS::ApplicationAutoScaling::ScalableTarget", f"Worker{queue.title()}"
        )
        assert target["MinCapacity"] < target["MaxCapacity"]
        assert f"Worker{queue.title()}Service" in json.dumps(target["ResourceId"])


def need(**values: float) -> float:
    """Work out what scaling reads, as CloudWatch does."""
    alarm = Template("small").one(
        "AWS::CloudWatch::Alarm", "WorkerSlowTaskCountTargetByNeedLower"
    )
    (text,) = [one["Expression"] for one in alarm["Metrics"] if "Expression" in one]
    functions = {"IF": lambda condition, yes, no: yes if condition else no}
    return eval(text, functions, values)  # noqa: S307 - of our own template


def change(value: float) -> int:
    """Return how many workers the steps add at a value."""
    template, found = Template("small"), 0
    for side in ("Lower", "Upper"):
        name = f"WorkerSlowTaskCountTargetByNeed{side}"
        alarm = template.one("AWS::CloudWatch::Alarm", f"{name}Alarm")
        policy = template.one("AWS::ApplicationAutoScaling::ScalingPolicy", name)
        for step in policy["StepScalingPolicyConfiguration"]["StepAdjustments"]:
            low = step.get("MetricIntervalLowerBound", float("-inf"))
            high = step.get("MetricIntervalUpperBound", float("inf"))
            over = value - alarm["Threshold"]
            if low <= over < high or over == high == 0:
                found += step["ScalingAdjustment"]
    return found


@pytest.mark.parametrize(
    ("state", "workers"),
    [
        # The first task starts the first worker, and old ones more at a time.
        ({"ready": 1, "oldest_seconds": 40, "running": 0, "workers": 0}, 1),
        ({"ready": 9, "oldest_seconds": 400, "running": 4, "workers": 2}, 3),
        ({"ready": 9, "oldest_seconds": 4000, "running": 4, "workers": 2}, 6),
        # A task that a worker is about to take changes nothing.
        ({"ready": 1, "oldest_seconds": 0, "running": 0, "workers": 1}, 0),
        # The last worker does not end amid a task, nor one that the others need.
        ({"ready": 0, "oldest_seconds": 0, "running": 1, "workers": 1}, 0),
        ({"ready": 0, "oldest_seconds": 0, "running": 5, "workers": 3}, 0),
        ({"ready": 0, "oldest_seconds": 0, "running": 0, "workers": 0}, 0),
        # Where the others have room, one ends.
        ({"ready": 0, "oldest_seconds": 0, "running": 0, "workers": 1}, -1),
        ({"ready": 0, "oldest_seconds": 0, "running": 4, "workers": 3}, -1),
    ],
)
def test_workers_come_with_waiting_tasks_and_go_when_the_others_suffice(state, workers):
    assert change(need(**state)) == workers


@each
def test_metrics_are_made_of_what_the_reaper_logs(name, queue_states):
    template = Template(name)
    assert template.environment("reaper")["FRAMEMILL_LOG_QUEUES_SECONDS"] == "30"
    log = template.container("reaper")["LogConfiguration"]["Options"]["awslogs-group"]
    filters = template.all("AWS::Logs::MetricFilter").values()
    made = {}
    for one in filters:
        (to,) = one["MetricTransformations"]
        pattern = r'\{ \(\$\.event = "(.*)"\) && \(\$\.queue = "(\w+)"\) \}'
        event, queue = re.fullmatch(pattern, one["FilterPattern"]).groups()
        assert one["LogGroupName"] == log
        (line,) = [state for state in queue_states if state["queue"] == queue]
        assert line["event"] == event
        assert isinstance(line[to["MetricValue"].removeprefix("$.")], int | float)
        made[to["MetricName"]] = to["MetricValue"]

    assert len(made) == len(filters) == 4 * len(QUEUES)
    for queue in QUEUES:
        alarm = template.one(
            "AWS::CloudWatch::Alarm", f"Worker{queue.title()}TaskCountTargetByNeedUpper"
        )
        for one in alarm["Metrics"]:
            if "MetricStat" in one:
                metric = one["MetricStat"]["Metric"]["MetricName"]
                assert metric.endswith(f"-{queue}")
                assert made[metric] == f"$.{one['Id']}"


@pytest.fixture
def queue_states():
    """Return the lines of the log that the reaper would write."""
    import fakeredis
    from structlog.testing import capture_logs

    from worker.maintenance.queues import log_queues

    with fakeredis.FakeRedis(decode_responses=True) as client, capture_logs() as lines:
        log_queues(JobStore(Settings.load(), client))
    return lines


@each
def test_both_servers_are_as_the_store_needs_them(name):
    template = Template(name)
    servers = template.all("AWS::ElastiCache::ReplicationGroup")
    options = template.one("AWS::ElastiCache::ParameterGroup")["Properties"]
    words = shlex.split(" ".join(command("store")))

    assert set(servers) == {"Broker", "Store"}
    for one in servers.values():
        assert (one["Engine"], one["ClusterMode"]) == ("valkey", "disabled")
        assert one["TransitEncryptionMode"] == "required"
        assert one["AtRestEncryptionEnabled"] is True
        assert one["AuthToken"]
        nodes = one["NumCacheClusters"]
        assert one["AutomaticFailoverEnabled"] is one["MultiAZEnabled"] is (nodes > 1)
    for option, value in options.items():
        assert words[words.index(f"--{option}") + 1] == value
    assert options["maxmemory-policy"] == "noeviction"
    (rules,) = [
        [
            one["SourceSecurityGroupId"]["Fn::GetAtt"][0]
            for one in template.all("AWS::EC2::SecurityGroupIngress").values()
            if one["GroupId"]["Fn::GetAtt"][0].startswith("Servers")
        ]
    ]
    assert sorted(re.sub(r"[0-9A-F]{8}$", "", one) for one in rules) == [
        "Web",
        "Workers",
    ]


@each
def test_buckets_are_private_and_end_what_nobody_asks_for(name):
    template = Template(name)
    buckets = template.all("AWS::S3::Bucket")
    policies = template.all("AWS::S3::BucketPolicy").values()
    for bucket, one in buckets.items():
        assert set(one["PublicAccessBlockConfiguration"].values()) == {True}
        assert one["BucketEncryption"]
        (policy,) = [it for it in policies if it["Bucket"] == {"Ref": bucket}]
        refused = policy["PolicyDocument"]["Statement"][0]
        assert refused["Effect"] == "Deny"
        assert refused["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for prefix in ("Files", "Videos"):
        rules = template.one("AWS::S3::Bucket", prefix)["LifecycleConfiguration"]
        (rule,) = rules["Rules"]
        days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        # Before, an upload may be resumed.
        assert days * 24 > Settings.load().retention.upload_hours
    files = template.one("AWS::S3::Bucket", "Files")
    # What the service keeps, its retention removes.
    assert "ExpirationInDays" not in files["LifecycleConfiguration"]["Rules"][0]


def test_pages_of_the_chosen_origins_may_upload_and_read_etags():
    (rule,) = Template("full").one("AWS::S3::Bucket", "Files")["CorsConfiguration"][
        "CorsRules"
    ]

    assert rule["AllowedOrigins"] == CHOICES["full"]["origins"].split(",")
    assert set(rule["AllowedMethods"]) == {"PUT", "GET", "HEAD"}
    assert rule["ExposedHeaders"] == ["ETag"]
    small = Template("small").one("AWS::S3::Bucket", "Files")
    assert "CorsConfiguration" not in small


@each
@pytest.mark.parametrize("stack", ["Framemill", "FramemillImages"])
def test_destroy_leaves_nothing(name, stack):
    template = Template(name, stack)
    emptied = {
        one["BucketName"]["Ref"]
        for one in template.all("Custom::S3AutoDeleteObjects").values()
    }

    for resource, one in template.resources.items():
        assert one.get("DeletionPolicy", "Delete") == "Delete", resource
        # CloudFormation keeps or snapshots these unless it is told otherwise.
        if one["Type"] in {"AWS::ElastiCache::ReplicationGroup", "AWS::S3::Bucket"}:
            assert one["DeletionPolicy"] == "Delete"
        assert not one.get("Properties", {}).get("DeletionProtectionEnabled")
    assert emptied == set(template.all("AWS::S3::Bucket"))
    for one in template.all("AWS::ECR::Repository").values():
        assert one["EmptyOnDelete"] is True


@each
def test_each_part_logs_to_a_group_of_its_own_for_a_month(name):
    template = Template(name)
    groups = template.all("AWS::Logs::LogGroup")
    used = [
        template.container(part)["LogConfiguration"]["Options"]["awslogs-group"]["Ref"]
        for part in PARTS
    ]

    assert len(set(used)) == len(PARTS)
    assert {one["RetentionInDays"] for one in groups.values()} == {30}


@each
def test_every_alarm_says_what_it_means_and_tells_somebody(name):
    template = Template(name)
    alarms = {
        key: one
        for key, one in template.all("AWS::CloudWatch::Alarm").items()
        if key.startswith("Alarm")
    }
    (topic,) = template.all("AWS::SNS::Topic")
    dashboard = json.dumps(template.one("AWS::CloudWatch::Dashboard"))

    assert {re.sub(r"[0-9A-F]{8}$", "", one) for one in alarms} >= {
        "AlarmWaitingFast",
        "AlarmWaitingSlow",
        "AlarmNoReaper",
        "AlarmDeadEvents",
        "AlarmErrors",
        "AlarmNoApi",
    }
    for key, one in alarms.items():
        assert one["AlarmActions"] == one["OKActions"] == [{"Ref": topic}]
        assert len(one["AlarmDescription"]) > 20
        assert f'"{key}"' in dashboard
    missing = template.one("AWS::CloudWatch::Alarm", "AlarmNoReaper")
    assert missing["TreatMissingData"] == "breaching"
    mail = [one["Endpoint"] for one in template.all("AWS::SNS::Subscription").values()]
    assert mail == [CHOICES[name]["mail"]] if "mail" in CHOICES[name] else not mail


@each
def test_the_dashboard_shows_every_part_and_both_queues(name):
    template = Template(name)
    text = json.dumps(template.one("AWS::CloudWatch::Dashboard"))

    for part in PARTS:
        assert f"{camel(part)}Service" in text
    for queue in QUEUES:
        assert f"OldestSeconds-{queue}" in text
        assert f"ReadyTasks-{queue}" in text


@each
def test_the_outputs_are_those_that_the_page_names(name):
    outputs = Template(name).whole["Outputs"]
    images = Template(name, "FramemillImages").whole["Outputs"]

    more = {"Destination", "EdgeUrl"} if name == "full" else set()
    assert {"Url", "VideosBucket", *more} == set(outputs)
    assert len(images) == 3


def test_cloudfront_shows_the_published_files_alone():
    template = Template("full")
    edge = template.one("AWS::CloudFront::Distribution")["DistributionConfig"]
    (origin,) = edge["Origins"]
    (policy,) = [
        one["PolicyDocument"]["Statement"]
        for name, one in template.all("AWS::S3::BucketPolicy").items()
        if name.startswith("Published")
    ]
    allowed = [
        one
        for one in policy
        if one["Effect"] == "Allow" and "Service" in one["Principal"]
    ]

    assert origin["DomainName"]["Fn::GetAtt"][0].startswith("Published")
    assert origin["OriginAccessControlId"]
    assert [one["Action"] for one in allowed] == ["s3:GetObject"]
    assert allowed[0]["Condition"]["StringEquals"].keys() == {"AWS:SourceArn"}
    assert not Template("small").all("AWS::CloudFront::Distribution")

"""The VPC, and who in it may talk to whom."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs

from deploy.aws.choices import Scale

REDIS, API, FLOWER = 6379, 8000, 5555


@dataclass(frozen=True)
class Network:
    """The VPC and a security group for each kind of part."""

    vpc: ec2.Vpc
    balancer: ec2.SecurityGroup
    web: ec2.SecurityGroup
    workers: ec2.SecurityGroup
    servers: ec2.SecurityGroup


def build(stack: Stack, scale: Scale, port: int) -> Network:
    """Make two zones: the balancer in public, the parts and the servers in private."""
    kinds = ec2.SubnetType
    refused = logs.LogGroup(
        stack,
        "RefusedLog",
        retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.DESTROY,
    )
    vpc = ec2.Vpc(
        stack,
        "Vpc",
        max_azs=2,
        nat_gateways=scale.gateways,
        restrict_default_security_group=False,
        subnet_configuration=[
            ec2.SubnetConfiguration(name="public", subnet_type=kinds.PUBLIC),
            ec2.SubnetConfiguration(
                name="parts", subnet_type=kinds.PRIVATE_WITH_EGRESS
            ),
            ec2.SubnetConfiguration(name="servers", subnet_type=kinds.PRIVATE_ISOLATED),
        ],
        # Videos go to S3 and back without passing the NAT gateway, which bills them.
        gateway_endpoints={
            "S3": ec2.GatewayVpcEndpointOptions(
                service=ec2.GatewayVpcEndpointAwsService.S3
            )
        },
        flow_logs={
            "Refused": ec2.FlowLogOptions(
                traffic_type=ec2.FlowLogTrafficType.REJECT,
                destination=ec2.FlowLogDestination.to_cloud_watch_logs(refused),
            )
        },
    )

    return _groups(stack, vpc, port)


def _groups(stack: Stack, vpc: ec2.Vpc, port: int) -> Network:
    """Let callers reach the balancer, it the web parts, and all parts the servers."""

    def group(name: str, text: str, *, out: bool = False) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            stack, name, vpc=vpc, description=text, allow_all_outbound=out
        )

    balancer = group("Balancer", "The load balancer")
    # Parts reach S3, callers' webhooks and sources by URL, wherever they are.
    web = group("Web", "The API and Flower", out=True)
    workers = group("Workers", "Workers, reaper and poller", out=True)
    servers = group("Servers", "Broker and store")
    anybody = ec2.Peer.any_ipv4()
    balancer.add_ingress_rule(anybody, ec2.Port.tcp(port), "Callers")
    for number in (API, FLOWER):
        web.add_ingress_rule(balancer, ec2.Port.tcp(number), "The load balancer")
        balancer.add_egress_rule(web, ec2.Port.tcp(number), "The API and Flower")
    for one in (web, workers):
        servers.add_ingress_rule(one, ec2.Port.tcp(REDIS), "The parts")
    return Network(vpc, balancer, web, workers, servers)

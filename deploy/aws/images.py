"""The repositories of the images, a stack of its own: they are filled first."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ecr as ecr

from deploy.aws.choices import Choices

NAMES = ("api", "worker", "flower")


def build(stack: Stack, choices: Choices) -> None:
    """Make a repository for each image; a version that was pushed stays as it is."""
    for name in NAMES:
        made = ecr.Repository(
            stack,
            name.title(),
            repository_name=f"{choices.images}-{name}",
            image_scan_on_push=True,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            removal_policy=RemovalPolicy.DESTROY,
            empty_on_delete=True,
            lifecycle_rules=[
                ecr.LifecycleRule(
                    max_image_age=Duration.days(14), tag_status=ecr.TagStatus.UNTAGGED
                )
            ],
        )
        CfnOutput(stack, f"{name.title()}Repository", value=made.repository_uri)

"""Findings of cdk-nag and cfn-lint that we live with, each with its reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Stack, Validations

_OBJECTS = "The objects of a named bucket have no other name than *."
ARGUED = {
    "AwsSolutions-EC23": "The load balancer is the public entrance of the service.",
    "AwsSolutions-ECS2": "What stands in the environment is no secret: names of "
    "buckets, addresses, sizes. Secrets come from Secrets Manager.",
    "AwsSolutions-SMG4": "A rotation must start the parts anew, and ends signed "
    "links: docs/how-to/deploy-aws.md says how to rotate by hand.",
    "AwsSolutions-AEC4": "The size small has one node for each server. What it loses "
    "is restored from the bucket (docs/explanation/reliability.md).",
    "AwsSolutions-IAM5[Resource::*]": "ecr:GetAuthorizationToken knows no resource.",
    "AwsSolutions-IAM5[Resource::<Files8E6940B8.Arn>/*]": _OBJECTS,
    "AwsSolutions-IAM5[Resource::<Videos88AE8DA0.Arn>/*]": _OBJECTS,
    "AwsSolutions-IAM5[Resource::<Published616FB537.Arn>/*]": _OBJECTS,
    "AwsSolutions-CFR1": "Whoever publishes a picture may show it everywhere.",
    "AwsSolutions-CFR2": "There is nothing to attack: the origin is a bucket of files.",
    "AwsSolutions-CFR4": "CloudFront's own certificate allows no other policy.",
}
# W3005: the CDK writes dependencies that a reference implies.
_LINT = {"config": {"ignore_checks": ["W3005"]}}


def argue(stack: Stack) -> None:
    """Acknowledge these findings in the stack, with their reasons."""
    stack.template_options.metadata = {"cfn-lint": _LINT}
    Validations.of(stack).acknowledge(
        *(Acknowledgment(id=name, reason=why) for name, why in ARGUED.items())
    )

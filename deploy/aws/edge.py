"""CloudFront in front of results that jobs publish, as an option."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins

from deploy.aws.data import Data


def build(stack: Stack, stored: Data) -> None:
    """Serve the bucket of published results to everybody, and nothing else.

    The service's own links are signed for one caller, and no cache may keep them.
    """
    if stored.published is None:
        return
    origin = origins.S3BucketOrigin.with_origin_access_control(stored.published)
    made = cloudfront.Distribution(
        stack,
        "Edge",
        default_behavior=cloudfront.BehaviorOptions(
            origin=origin,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            response_headers_policy=cloudfront.ResponseHeadersPolicy.CORS_ALLOW_ALL_ORIGINS,
        ),
        minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
        price_class=cloudfront.PriceClass.PRICE_CLASS_100,
        log_bucket=stored.logs,
        log_file_prefix="edge/",
    )
    bucket = stored.published.bucket_name
    CfnOutput(stack, "Destination", value=bucket, description="The destination of jobs")
    CfnOutput(stack, "EdgeUrl", value=f"https://{made.distribution_domain_name}")

"""``python -m deploy.aws``: write the templates; the CDK's command line calls it."""

from __future__ import annotations

import aws_cdk
from cdk_nag import AwsSolutionsChecks

from deploy.aws import choices, data, edge, findings, images, network, services, watch

FLAGS = {
    # A new version leaves the number of workers as scaling has set it.
    "@aws-cdk/aws-ecs:removeDefaultDesiredCount": True,
    # Logs of S3 need no access control lists.
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
}


def main() -> None:
    """Make both stacks from the context, look for bad practice, and write them."""
    app = aws_cdk.App(context=FLAGS)
    chosen = choices.read(app.node.try_get_context)
    scale = choices.SCALES[chosen.size]
    # The account is that of whoever deploys.
    where = aws_cdk.Environment(region=chosen.region)
    repositories = aws_cdk.Stack(app, "FramemillImages", env=where)
    images.build(repositories, chosen)
    stack = aws_cdk.Stack(app, "Framemill", env=where)
    net = network.build(stack, scale, 443 if chosen.certificate else 80)
    stored = data.build(stack, chosen, scale, net)
    running = services.build(stack, chosen, scale, net, stored)
    watch.build(stack, chosen, scale, stored, running)
    edge.build(stack, stored)
    findings.argue(stack)
    aws_cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
    aws_cdk.Tags.of(app).add("service", "framemill")
    app.synth()


if __name__ == "__main__":
    main()

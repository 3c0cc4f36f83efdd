"""What each part may do with S3 and SQS: the calls that its code makes."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import aws_iam as iam

_READ, _WRITE, _DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
_ABORT, _PARTS = "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"
# Without it, a missing object is answered like a forbidden one.
_LIST = "s3:ListBucket"

# By part and by what it uses: a bucket, the objects in it, or a queue.
RIGHTS: dict[str, dict[str, tuple[str, ...]]] = {
    "api": {
        "files/*": (_READ, _WRITE, _DELETE, _ABORT, _PARTS),
        "files": (_LIST,),
        "videos/*": (_READ,),
    },
    "worker": {
        "files/*": (_READ, _WRITE, _DELETE, _ABORT),
        "files": (_LIST,),
        "videos/*": (_READ,),
        "videos": (_LIST,),
        "published/*": (_READ, _WRITE),
    },
    "reaper": {
        "files/*": (_WRITE, _DELETE, _ABORT),
        "files": (_LIST, "s3:ListBucketMultipartUploads"),
    },
    "poller": {
        "files/*": (_WRITE,),
        "videos/*": (_READ,),
        "videos": (_LIST,),
        "events": ("sqs:ReceiveMessage", "sqs:DeleteMessage"),
        "dead": ("sqs:SendMessage",),
    },
    "flower": {},
}


def allow(part: str, role: iam.IGrantable, arns: Mapping[str, str]) -> None:
    """Let a part do what it does with what exists; ``arns`` names that, without /*."""
    for place, actions in RIGHTS[part].items():
        name, slash, objects = place.partition("/")
        if name in arns:
            arn = f"{arns[name]}{slash}{objects}"
            role.grant_principal.add_to_principal_policy(
                iam.PolicyStatement(actions=list(actions), resources=[arn])
            )

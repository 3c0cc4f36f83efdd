"""The policy that the deployment page gives is the least that the code needs."""

from __future__ import annotations

import json
import re

from tests.conftest import ROOT

# What each call of boto3 asks for, after the service authorization reference of S3.
ACTIONS = {
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "copy_object": {"s3:GetObject", "s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "delete_objects": {"s3:DeleteObject"},
    "create_multipart_upload": {"s3:PutObject"},
    "upload_part": {"s3:PutObject"},
    "complete_multipart_upload": {"s3:PutObject"},
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "list_parts": {"s3:ListMultipartUploadParts"},
    "head_bucket": {"s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "list_multipart_uploads": {"s3:ListBucketMultipartUploads"},
}
OF_BUCKETS = {"s3:ListBucket", "s3:ListBucketMultipartUploads"}
# Calls of the client, pages of a listing, and what is signed for others to call.
CALL = re.compile(
    r"client\.(?!get_paginator)([a-z]\w*)\("
    r'|get_paginator\("(\w+)"\)'
    r'|_presign\(\s*"(\w+)"'
)


def calls():
    files = sorted((ROOT / "common" / "storage").glob("*.py"))
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return {name for found in CALL.findall(text) for name in found if name}


def policy():
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    return json.loads(block)["Statement"]


def test_every_call_of_the_storage_is_known():
    assert calls() == set(ACTIONS)


def test_the_policy_allows_what_the_storage_calls_and_no_more():
    needed = set().union(*(ACTIONS[call] for call in calls()))
    allowed = [action for one in policy() for action in one["Action"]]

    assert sorted(allowed) == sorted(needed)


def test_each_action_is_allowed_where_it_applies():
    for one in policy():
        of_bucket = not one["Resource"].endswith("/*")
        assert {action in OF_BUCKETS for action in one["Action"]} == {of_bucket}

"""Uploads a file with the unmodified tuspy; arguments as of tus_client.cjs."""

from __future__ import annotations

import sys

from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage


def main(endpoint: str, path: str, chunk: str, memory: str) -> None:
    uploader = TusClient(endpoint).uploader(
        path,
        chunk_size=int(chunk),
        retries=40,
        retry_delay=0.5,
        store_url=True,
        url_storage=FileStorage(memory),
        metadata={"filename": "clip.mp4", "filetype": "video/mp4", "job": "{}"},
    )
    while uploader.offset < uploader.get_file_size():
        uploader.upload_chunk()
        print(uploader.offset, file=sys.stderr, flush=True)
    print(uploader.url)


main(*sys.argv[1:])

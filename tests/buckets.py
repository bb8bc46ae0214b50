"""Buckets of a server on this machine that speaks S3's protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer
from pyarrow import fs


@contextmanager
def bucket_server(host: str = "127.0.0.1") -> Iterator[str]:
    """Give the options of a URL that lead to a server with one bucket, ``runs``."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line a request
    server = ThreadedMotoServer(host, port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    options = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    try:
        files, _ = fs.FileSystem.from_uri(
            f"s3://who:what@runs?{options}&allow_bucket_creation=true"
        )
        files.create_dir("runs")
        yield options
    finally:
        server.stop()

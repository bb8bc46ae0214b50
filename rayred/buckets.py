"""Places at URLs, such as folders of buckets: opened, tried, and what is wrong, in one sentence.

>>> is_url("s3://bucket/runs"), is_url("/shared/runs")
(True, False)
>>> shown_url("s3://key:secret@bucket/runs?region=eu-west-1")
's3://bucket/runs'
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from pyarrow import fs

from rayred.errors import ConfigError, PlaceError

SCHEMES = ("s3", "gs", "gcs")
"""Kinds of buckets: S3 and what speaks its protocol, and Google Cloud Storage."""
RETRY_SECONDS = 30
"""How long Google's client may try; by itself it goes on for a quarter of an hour."""

_GIVE = "give credentials that may write, as by AWS_ACCESS_KEY_ID, a role or `gcloud auth`"
_REASONS = {
    "NO_SUCH_BUCKET": "there is no such bucket",
    "NoSuchBucket": "there is no such bucket",
    "bucket does not exist": "there is no such bucket",
    "Bucket not found": "there is no such bucket",
    "ACCESS_DENIED": f"access is denied; {_GIVE}",
    "INVALID_ACCESS_KEY_ID": f"the access key is not known there; {_GIVE}",
    "SIGNATURE_DOES_NOT_MATCH": f"the secret key is wrong; {_GIVE}",
    "InvalidAccessKeyId": f"the access key is not known there; {_GIVE}",
    "SignatureDoesNotMatch": f"the secret key is wrong; {_GIVE}",
    "PERMISSION_DENIED": f"access is denied; {_GIVE}",
    "UNAUTHENTICATED": f"there are no credentials; {_GIVE}",
    "access token": f"there are no credentials; {_GIVE}",
    "NETWORK_CONNECTION": "it cannot be reached",
    "Could not resolve host": "it cannot be reached",
    "Retry policy exhausted": "it cannot be reached",
}
"""What is wrong, by what the clients of buckets write of it."""


def is_url(place: object) -> bool:
    """Return whether a place is a URL, and not a folder of this machine."""
    return "://" in str(place)


def shown_url(url: object) -> str:
    """Return a URL without user, password and options, which may be secret; a path as it is."""
    if not is_url(url):
        return str(url)
    parts = urlsplit(str(url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def open_url(url: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a URL, and the path in it.

    Raises
    ------
    PlaceError
        The URL is none that can be opened.
    """
    if url.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in url:
        url += f"{'&' if '?' in url else '?'}retry_limit_seconds={RETRY_SECONDS}"
    with place_errors(url):
        files, path = fs.FileSystem.from_uri(url)
        return files, path.rstrip("/")


def check_url(url: str, name: str) -> None:
    """Refuse a place that cannot be written and read, before any work is done for it.

    Parameters
    ----------
    url
        A bucket, or a folder in one; it need not be there yet, but the bucket must.
    name
        Option or setting that it comes from, for the message.

    Raises
    ------
    ConfigError
        It is no place of a kind that is known, or cannot be written and read.
    """
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise ConfigError(
            f"{name}: {shown_url(url)}: unknown kind of place; allowed are folders, {known}"
        )
    if not urlsplit(url).netloc.rpartition("@")[2]:
        raise ConfigError(f"{name}: {url}: names no bucket")
    try:
        _write_and_read(url)
    except PlaceError as error:
        raise ConfigError(f"{name}: {error}") from error


def _write_and_read(url: str) -> None:
    files, root = open_url(url)
    path, content = f"{root}/.rayred-{uuid.uuid4().hex}", b"rayred"
    with place_errors(url):
        with files.open_output_stream(path) as stream:
            stream.write(content)
        with files.open_input_stream(path) as stream:
            found = stream.read()
        files.delete_file(path)
    if found != content:
        raise PlaceError(f"{shown_url(url)}: what is written there cannot be read again")


@contextmanager
def place_errors(url: str) -> Iterator[None]:
    """Turn errors of a bucket's client into one sentence.

    Raises
    ------
    PlaceError
        There was an error.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        text = str(error)
        first = (text.strip().splitlines() or [type(error).__name__])[0]
        reason = next((said for sign, said in _REASONS.items() if sign in text), first)
        raise PlaceError(f"{shown_url(url)}: {reason}") from error

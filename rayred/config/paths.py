"""Paths of settings, in one spelling that means the same from every working folder."""

from __future__ import annotations

import os
from pathlib import Path


def absolute_dataset(name: str) -> str:
    """Return the name of a data set with its path made absolute.

    What is no local path stays as it is: the name of a data set, and an address.

    >>> absolute_dataset("folder:/data/./pets/")
    'folder:/data/pets'
    >>> absolute_dataset("digits"), absolute_dataset("parquet:s3://bucket/*")
    ('digits', 'parquet:s3://bucket/*')
    """
    scheme, colon, place = name.partition(":")
    is_name = scheme == "hf" and not Path(place).expanduser().exists()
    if not colon or is_name or "://" in name:
        return name
    return f"{scheme}:{absolute_path(place)}"


def absolute_path(path: str) -> str:
    """Return a path made absolute; an address stays as it is.

    >>> absolute_path("/a/./b/"), absolute_path("s3://bucket/x")
    ('/a/b', 's3://bucket/x')
    """
    return path if "://" in path else os.path.abspath(Path(path).expanduser())  # noqa: PTH100

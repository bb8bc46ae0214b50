"""A claim to a run folder in a bucket, so that one process alone writes it.

Buckets have no locks. Every process that opens the folder puts a claim beside the others, and
renews it while it is at work. A claim is compared with others by the bucket's clock alone. Two
processes that come at the same moment see each other, and both give way.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from pyarrow import fs

from rayred.buckets import place_errors
from rayred.errors import FolderClosedError, PlaceError
from rayred.store.bucket import Bucket

CLAIMS = ".rayred-claims"
RENEW_SECONDS = 10
"""Seconds between two renewals of a claim."""
DEAD_SECONDS = 45
"""Age at which a claim is that of a process or a machine that is no more."""
LOOK_SECONDS = 3

logger = logging.getLogger(__name__)


class Claim:
    """A process's claim to a run folder."""

    def __init__(self, bucket: Bucket) -> None:
        """Name the claim; nothing is written yet."""
        self._bucket = bucket
        self._name = f"{uuid.uuid4().hex}.json"
        self._lost = threading.Event()

    def check(self) -> None:
        """Raise unless the claim still stands.

        Raises
        ------
        FolderClosedError
            Another process took this one for dead: this machine had stood still, or been cut off.
        """
        if self._lost.is_set():
            raise FolderClosedError(
                f"{self._bucket.name}: this rayred was not heard of for {DEAD_SECONDS} seconds, and"
                " another has taken over"
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the claim while the context lasts; wait for that of a process that has died.

        Raises
        ------
        FolderClosedError
            Another process is at work in the run folder.
        PlaceError
            The bucket cannot be written.
        """
        ended = threading.Event()
        thread = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        try:
            self._put()
            self._wait_for_others()
            thread.start()
            yield
        finally:
            ended.set()
            if thread.is_alive():
                thread.join()
            with suppress(PlaceError):
                self._remove(self._name)

    def _wait_for_others(self) -> None:
        """Wait until those who came first are known to be at work, or to be no more.

        Those who come later see this claim, and give way.
        """
        first = {name: at for name, at in self._times().items() if name != self._name}
        for name in first:
            logger.info(
                "%s: waits to see whether another rayred is still at work: %s",
                self._bucket.name,
                self._describe(name),
            )
        waiting = set(first)
        while waiting:
            times = self._times()
            for name in list(waiting):
                at = times.get(name)
                if at is not None and at != first[name]:
                    raise FolderClosedError(
                        f"{self._bucket.name}: another rayred is at work in this run folder:"
                        f" {self._describe(name)}"
                    )
                if at is None or times[self._name] - at > timedelta(seconds=DEAD_SECONDS):
                    self._remove(name)
                    waiting.remove(name)
            if waiting:
                time.sleep(LOOK_SECONDS)
                self._put()

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(RENEW_SECONDS):
            with suppress(PlaceError):  # the next time may be better
                if self._name not in self._times():
                    self._lost.set()
                    return
                self._put()

    def _times(self) -> dict[str, datetime]:
        """Return when each claim was last renewed, by the bucket's clock."""
        with place_errors(self._bucket.url):
            selector = fs.FileSelector(f"{self._bucket.root}/{CLAIMS}", allow_not_found=True)
            found = self._bucket.files.get_file_info(selector)
        return {one.base_name: one.mtime for one in found if one.is_file}

    def _put(self) -> None:
        content = {"host": socket.gethostname(), "process": os.getpid(), "user": getpass.getuser()}
        with (
            place_errors(self._bucket.url),
            self._bucket.files.open_output_stream(self._path(self._name)) as stream,
        ):
            stream.write(json.dumps(content).encode())

    def _describe(self, name: str) -> str:
        try:
            with (
                place_errors(self._bucket.url),
                self._bucket.files.open_input_stream(self._path(name)) as stream,
            ):
                found = json.loads(stream.read())
            return f"process {found['process']} of {found['user']} on {found['host']}"
        except (PlaceError, ValueError, KeyError):
            return "unknown"

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError), place_errors(self._bucket.url):
            self._bucket.files.delete_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._bucket.root}/{CLAIMS}/{name}"

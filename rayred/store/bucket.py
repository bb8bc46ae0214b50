"""A run folder in a bucket, and the folder on this machine's disk that is its working copy.

The bucket has the same layout as a folder: ``rayred.json``, ``made/STAGE-KEY/`` and the views. An
entry's record is its last object to appear, and the manifest is one object, so that whatever is
lost, and whenever, what the bucket says it has is whole. Results are made in the working copy, put
into the bucket the moment that they are whole, and fetched from it where they are missing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout
from pyarrow import fs

from rayred.buckets import is_url, open_url, place_errors, shown_url
from rayred.errors import PlaceError, RunFolderError
from rayred.files import remove, replacing, temporary_beside
from rayred.store.entries import MADE, RECORD, Entry
from rayred.store.manifest import LOCK, MANIFEST, Manifest
from rayred.store.views import View

ADDRESS = ".rayred-bucket"
"""File in a working copy with the URL of its run folder."""
WORKING_COPIES = "~/.cache/rayred/buckets"
"""Where the working copies are."""
MOST_TO_COPY = 5 * 10**9
"""Bytes of the largest object that S3 copies within a bucket by one request."""
_HERE = fs.LocalFileSystem()


class Bucket:
    """A run folder at a URL."""

    def __init__(self, url: str) -> None:
        """Open a URL such as ``s3://BUCKET/runs/NAME``; nothing is read yet."""
        self.url = url
        self.name = shown_url(url)
        self.files, self.root = open_url(url)
        self.check: Callable[[], None] = lambda: None
        """Called before anything is written; raises where this process may not write any more."""
        self._sizes: dict[str, int] | None = None

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """Return the run folder that a folder is the working copy of; None for all others."""
        try:
            return cls((folder / ADDRESS).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every object, by its path within the run folder, as listed once."""
        if self._sizes is None:
            with place_errors(self.url):
                selector = fs.FileSelector(self.root, recursive=True, allow_not_found=True)
                found = self.files.get_file_info(selector)
            start = len(self.root) + 1
            self._sizes = {one.path[start:]: one.size for one in found if one.is_file}
        return self._sizes

    def manifest(self) -> bytes | None:
        """Return the manifest as it is now; None where there is no run folder yet.

        Raises
        ------
        PlaceError
            The bucket is not there, or cannot be read.
        """
        path, bucket = f"{self.root}/{MANIFEST}", self.root.partition("/")[0]
        with place_errors(self.url):
            if self.files.get_file_info(path).type == fs.FileType.NotFound:
                if self.files.get_file_info(bucket).type == fs.FileType.NotFound:
                    raise PlaceError(f"{self.name}: there is no such bucket")
                return None
            with self.files.open_input_stream(path) as stream:
                return bytes(stream.read())

    def check_empty(self) -> None:
        """Refuse a place without a manifest that holds something else.

        Raises
        ------
        RunFolderError
            It does.
        """
        foreign = [name for name in self.sizes if not name.startswith(".")]
        if foreign:
            raise RunFolderError(
                f"{self.name}: not empty and no run folder (it holds {min(foreign)!r}); choose"
                " another --out"
            )

    def put(self, file: Path, name: str) -> None:
        """Put a file into the bucket; its object appears whole."""
        self.check()
        with place_errors(self.url):
            target = f"{self.root}/{name}"
            fs.copy_files(str(file), target, _HERE, self.files, use_threads=False)
        self.sizes[name] = file.stat().st_size

    def fetch(self, name: str, file: Path) -> None:
        """Fetch an object into a file, which appears whole."""
        with replacing(file) as temporary, place_errors(self.url):
            fs.copy_files(f"{self.root}/{name}", str(temporary), self.files, _HERE)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, if they are there."""
        self.check()
        for name in names:
            if name in self.sizes:
                with place_errors(self.url):
                    self.files.delete_file(f"{self.root}/{name}")
                del self.sizes[name]

    def below(self, folder: str) -> list[str]:
        """Return the names of all objects below a folder."""
        return [name for name in self.sizes if name.startswith(f"{folder}/")]

    def entries(self, prefix: str = "") -> set[str]:
        """Return the names of all entries whose stage's name begins with a prefix."""
        start, end = f"{MADE}/{prefix}", f"/{RECORD}"
        found = (name for name in self.sizes if name.startswith(start) and name.endswith(end))
        return {name.removeprefix(f"{MADE}/").removesuffix(end) for name in found}

    def put_folder(self, folder: Path, place: str) -> None:
        """Put all files below a folder that are not in the bucket yet, or have another size."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = f"{place}/{file.relative_to(folder).as_posix()}"
            if self.sizes.get(name) != file.stat().st_size:
                self.put(file, name)

    def read_entry(self, name: str, made: Path) -> Entry | None:
        """Return an entry by its record alone, as if it were in the folder of all entries."""
        with (
            place_errors(self.url),
            self.files.open_input_stream(f"{self.root}/{MADE}/{name}/{RECORD}") as stream,
        ):
            content = stream.read()
        try:
            return Entry.of_record(made / name, json.loads(content))
        except ValueError:
            return None

    def put_entry(self, folder: Path) -> None:
        """Put an entry into the bucket, its record last; one of the same name is replaced."""
        place, record = f"{MADE}/{folder.name}", folder / RECORD
        self.remove([f"{place}/{RECORD}", *self.below(place)])
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            if file != record:
                self.put(file, f"{place}/{file.relative_to(folder).as_posix()}")
        self.put(record, f"{place}/{RECORD}")

    def fetch_entry(self, name: str, made: Path) -> Entry | None:
        """Fetch an entry into the folder of all entries; None where the bucket has none."""
        if name not in self.entries(name):
            return None
        unfinished = temporary_beside(made / name)
        try:
            for one in self.below(f"{MADE}/{name}"):
                file = unfinished / one.removeprefix(f"{MADE}/{name}/")
                self.fetch(one, file)
                file.chmod(file.stat().st_mode & 0o555)
            unfinished.rename(made / name)
        except BaseException:
            remove(unfinished)
            raise
        return Entry.read(made / name)

    def show(
        self, wanted: Mapping[str, View], shown: Mapping[str, tuple[str, ...]]
    ) -> Iterable[str]:
        """Show some files of entries at the top, and nothing else of what was shown before.

        Parameters
        ----------
        wanted
            What is to be shown, by path.
        shown
            Digests of what was shown before, by path.

        Returns
        -------
        foreign
            Paths at which there is something else, which stays as it is.
        """
        self.remove(name for name in shown if name not in wanted)
        foreign = []
        for name, view in wanted.items():
            if name in self.sizes and shown.get(name) == (view.sha256,):
                continue
            if name in self.sizes and name not in shown:
                foreign.append(name)
                continue
            entry = view.source.parents[len(Path(name).parts) - 1].name
            if view.bytes > MOST_TO_COPY:
                self.put(view.source, name)
                continue
            with place_errors(self.url):
                source = f"{self.root}/{MADE}/{entry}/{name}"
                self.files.copy_file(source, f"{self.root}/{name}")
            self.sizes[name] = view.bytes
        return foreign


def working_folder(place: Path | str) -> Path:
    """Return the folder on this machine of a run folder: itself, or the working copy of a URL.

    The copy's manifest is brought up to date with the bucket's, unless a process works in it.

    Raises
    ------
    PlaceError
        The bucket cannot be read.
    """
    if not is_url(place):
        return Path(place)
    bucket = Bucket(str(place))
    named = hashlib.sha256(bucket.name.encode()).hexdigest()[:32]
    folder = Path(WORKING_COPIES).expanduser() / named
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / ADDRESS) as temporary:
        temporary.touch(mode=0o600)  # the URL may hold a secret
        temporary.write_text(bucket.url)
    with suppress(Timeout), FileLock(folder / LOCK, timeout=0):
        adopt(folder, bucket)
    return folder


def existing_folder(place: Path | str) -> Path:
    """Return the folder on this machine of a run folder that is there, as `working_folder`.

    Raises
    ------
    RunFolderError
        There is none at the URL.
    """
    folder = working_folder(place)
    if is_url(place) and not (folder / MANIFEST).exists():
        raise RunFolderError(f"{shown_url(place)}: no run folder (it has no {MANIFEST})")
    return folder


def place_of(folder: Path) -> str:
    """Return the run folder of a working folder: its URL, or the folder's own absolute path."""
    bucket = Bucket.of(folder)
    return str(folder.resolve()) if bucket is None else bucket.url


def name_of(folder: Path) -> str:
    """Return the run folder of a working folder as people know it: its URL, or its path."""
    bucket = Bucket.of(folder)
    return str(folder) if bucket is None else bucket.name


def adopt(folder: Path, bucket: Bucket) -> None:
    """Bring the manifest of a working copy up to date; what is of another run folder is removed."""
    stored = bucket.manifest()
    path = folder / MANIFEST
    if stored is None:
        _empty(folder)
        return
    known = _identity(folder)
    with replacing(path) as temporary:
        temporary.write_bytes(stored)
    if known is not None and known != Manifest.read(folder).folder:
        _empty(folder)
        with replacing(path) as temporary:
            temporary.write_bytes(stored)


def _identity(folder: Path) -> str | None:
    try:
        return Manifest.read(folder).folder
    except RunFolderError:
        return None


def _empty(folder: Path) -> None:
    """Remove everything but locks and the address from a working copy."""
    for entry in list(os.scandir(folder)):
        if not entry.name.startswith("."):
            remove(folder / entry.name)

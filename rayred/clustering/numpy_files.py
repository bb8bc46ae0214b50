"""Arrays from .npy and .npz files, whose headers are checked before anything is read or allocated.

A damaged header may announce any number of rows, and object arrays are pickles, which run code when
they are loaded. Neither gets past the header.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from rayred.errors import DataError

_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a zip file with members, and of one without."""
_LARGEST_RATIO = 1032
"""Deflate makes at most this many bytes of one (zlib, Technical Details: 258 bytes of 2 bits)."""
_SHOWN = 5
"""Names listed in a message."""


def read_numpy_file(path: Path, name: str) -> NDArray[Any]:
    """Return the array in a .npy file, memory-mapped, or in a .npz file.

    The contents of the file decide which it is, not its name.

    Parameters
    ----------
    path
        A regular file.
    name
        The array to read of a .npz file, unless there is only one.

    Raises
    ------
    DataError
        The file holds no such array, or one without values or of Python objects, or is damaged.
    Exception
        NumPy and zipfile raise errors of many types at a damaged file.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP_STARTS[0])) in _ZIP_STARTS:
            return _read_member(path, file, name)
        shape, order, dtype = _read_header(str(path), file, path.stat().st_size)
        array: NDArray[Any] = np.memmap(path, dtype, "r", file.tell(), shape, order)
        return array


def _read_member(path: Path, file: IO[bytes], name: str) -> NDArray[Any]:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if name not in members and len(members) != 1:
            raise DataError(
                f"{path}: expected an array named {name}, found {listed(list(members))}"
            )
        chosen = name if name in members else next(iter(members))
        member, where = members[chosen], f"{path}: array {chosen}"
        _check_size(where, member, path.stat().st_size)
        with archive.open(member) as stream:
            _read_header(where, stream, member.file_size)
        with archive.open(member) as stream:
            array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
            return array


def _check_size(where: str, member: zipfile.ZipInfo, file_size: int) -> None:
    """Check that the size announced of a member is one that its bytes can be expanded to."""
    ratios = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _LARGEST_RATIO}
    if member.compress_type not in ratios:
        raise DataError(
            f"{where}: compressed by zip method {member.compress_type}; expected what NumPy's savez"
            " or savez_compressed writes"
        )
    held = min(member.compress_size, file_size)
    if member.file_size > ratios[member.compress_type] * held:
        raise DataError(
            f"{where}: cannot be read: it announces {member.file_size:,} bytes, of which the file"
            f" has {held:,}; the file is cut or damaged"
        )


def _read_header(
    where: str, stream: IO[bytes], size: int
) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    """Return shape, order and dtype of an array, all of whose `size` bytes are there."""
    stream.seek(0)
    start = stream.read(len(npy.MAGIC_PREFIX))
    if start != npy.MAGIC_PREFIX:
        raise DataError(
            f"{where}: cannot be read: it begins with {start!r}; expected what NumPy's save or"
            " savez writes"
        )
    stream.seek(0)
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(stream)
    else:  # 3.0 is the one that fields with names beyond Latin-1 need
        found = ".".join(map(str, version))
        raise DataError(f"{where}: of .npy version {found}; expected 1.0 or 2.0")
    if dtype.hasobject:
        raise DataError(
            f"{where}: cannot be read: it holds Python objects, which are not unpickled; expected"
            " numbers or text"
        )
    announced, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if min(shape, default=1) < 0 or announced != held:
        raise DataError(
            f"{where}: cannot be read: shape {shape} of dtype {dtype} takes {announced:,} bytes,"
            f" the file has {held:,}; it is cut or damaged"
        )
    if not announced:
        raise DataError(f"{where}: has no values: shape {shape}; expected at least one")
    return shape, "F" if fortran else "C", dtype


def listed(names: list[str]) -> str:
    """Return some names for a message, the first few of many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "none"

"""Decode damaged images with little memory; print what came of it, as JSON.

Run by itself, as ``python -m tests.data.damaged_images COUNT``: a limit on memory holds for a
whole process.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from rayred.data.rule import Rule, UndecodableError, read_header
from tests.data.odd_images import OddImage, odd_images

FORMATS = [
    "png rgb",
    "png palette tRNS",
    "png animated",
    "jpeg rgb",
    "jpeg exif 6",
    "mpo",
    "gif transparent",
    "gif animated",
    "bmp 8",
    "tiff rgb",
    "tiff 16",
    "tiff tiff_lzw",
    "tiff jpeg",
    "webp lossless",
    "webp animated",
    "pgm 10",
    "ppm plain",
    "jp2 rgb",
    "avif",
    "ico bmp",
    "tga rle rgba",
    "dds rgba",
    "pcx rgb",
    "sgi rgb",
]
RESIZING = [Rule(1, size=8), Rule(3, size=8, fit="letterbox")]


def damage(image: OddImage, rng: random.Random) -> bytes:
    """Overwrite some bytes, mostly of the head, and sometimes cut off the end."""
    data = bytearray(image.data)
    for _ in range(rng.randint(1, 6)):
        reach = min(200, len(data)) if rng.random() < 0.6 else len(data)
        data[rng.randrange(reach)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    if rng.random() < 0.2:
        del data[rng.randint(1, len(data)) :]
    return bytes(data)


def main(count: int) -> None:
    Image.init()
    sources = [image for image in odd_images() if image.name in FORMATS]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    rng = random.Random(0)
    outcomes = {"sources": len(sources), "decoded": 0, "undecodable": 0}
    escaped, untrue, slowest = [], [], 0.0
    for number in range(count):
        source = sources[number % len(sources)]
        data = damage(source, rng)
        start = time.perf_counter()
        header, pixels = None, None
        try:
            header = read_header(data, (255, 255, 255))
            for rule in RESIZING:
                rule.decode(data)
            pixels = Rule(3).decode(data)
        except UndecodableError as error:
            if not str(error) or "\n" in str(error) or len(str(error)) > 200:
                untrue.append(f"{source.name}: reason {str(error)!r}")
        except BaseException as error:  # noqa: BLE001
            escaped.append(f"{source.name}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - start)
        outcomes["decoded" if pixels is not None else "undecodable"] += 1
        if header is not None and pixels is not None:
            if (header.height, header.width) != pixels.shape[:2]:
                untrue.append(f"{source.name}: {header} of {pixels.shape}")
            if header.grey and not np.array_equal(pixels[..., :1], pixels[..., 1:2]):
                untrue.append(f"{source.name}: {header} of coloured pixels")
    print(json.dumps({**outcomes, "escaped": escaped, "untrue": untrue, "slowest": slowest}))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]))

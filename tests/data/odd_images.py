"""Odd images and what they show: of many formats, in bytes, with the pixels that are right.

Exact pixels are worked out here with NumPy, never with the code under test. Lossy formats, and
those with float arithmetic inside, come with a tolerance in grey levels.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

Pixels = NDArray[np.uint8]


class OddImage(NamedTuple):
    name: str
    data: bytes
    expected: Pixels  # (H, W, 1 or 3), on white
    tolerance: int = 0  # grey levels
    grey: bool = False
    animated: bool = False


_rng = np.random.default_rng(0)
RGB = _rng.integers(0, 256, (5, 7, 3)).astype(np.uint8)
GREY = _rng.integers(0, 256, (5, 7)).astype(np.uint8)
GREY16 = _rng.integers(0, 65536, (5, 7)).astype(np.uint16)
GREY16[0, :3] = 0, 65535, 255
RGB16 = _rng.integers(0, 65536, (5, 7, 3)).astype(np.uint16)
ALPHA = _rng.integers(0, 256, (5, 7)).astype(np.uint8)
ALPHA[0, :2] = 0, 255
BITS = _rng.integers(0, 2, (5, 7)).astype(np.uint8)
INDEX = _rng.integers(0, 4, (5, 7)).astype(np.uint8)
COLOURS = np.array([[0, 0, 0], [200, 10, 30], [20, 30, 250], [255, 255, 0]], np.uint8)
GREYS = np.array([[255] * 3, [9] * 3, [77] * 3, [0] * 3], np.uint8)
CLEAR = np.array([255, 0, 128, 255], np.uint8)  # opacity of the four colours
SMOOTH = np.stack(
    np.broadcast_arrays(np.arange(48) * 4, (np.arange(32) * 6)[:, None], 128), axis=2
).astype(np.uint8)
SMOOTH_GREY = SMOOTH[:, :, 0]
ORIENTED: dict[int, Callable[[Pixels], Pixels]] = {  # the stored pixels of an upright image
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def encode(pixels: NDArray[Any] | Image.Image, form: str, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def on(colour: int, pixels: NDArray[Any], alpha: NDArray[Any]) -> Pixels:
    """Composite (H, W[, C]) on a colour, rounded to the nearest."""
    alpha = alpha.astype(int) if pixels.ndim == 2 else alpha.astype(int)[:, :, None]
    return ((pixels * alpha + colour * (255 - alpha) + 127) // 255).astype(np.uint8)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _packed(rows: NDArray[Any], depth: int) -> bytes:
    """Pack rows of samples, each filtered with none."""
    lines = []
    for row in rows:
        if depth == 16:
            line = row.astype(">u2").tobytes()
        else:
            bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - depth :]
            line = np.packbits(bits.ravel()).tobytes()
        lines.append(b"\0" + line)
    return b"".join(lines)


def png(
    samples: NDArray[Any],
    depth: int,
    kind: int,
    *,
    before: bytes = b"",
    after: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """Write a PNG. Kinds: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        ]
    parts = [samples[y::down, x::right] for y, x, down, right in passes]
    body = b"".join(_packed(part, depth) for part in parts if part.size)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(body))
        + after
        + chunk(b"IEND", b"")
    )


def tiff(
    data: bytes,
    bits: tuple[int, ...],
    photometric: int,
    *,
    order: str = "<",
    sample_format: int = 1,
    size: tuple[int, int] = (7, 5),
    tags: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """Write an uncompressed TIFF of one strip, with the given samples as they are."""
    fields: dict[int, tuple[int, ...]] = {
        256: (size[0],),
        257: (size[1],),
        258: bits,
        259: (1,),
        262: (photometric,),
        273: (8,),
        277: (len(bits),),
        278: (size[1],),
        279: (len(data),),
        339: (sample_format,) * len(bits),
        **(tags or {}),
    }
    data += b"\0" * (len(data) % 2)
    extra = b""
    entries = b""
    start = 8 + len(data) + 2 + 12 * len(fields) + 4
    for tag, values in sorted(fields.items()):
        content = struct.pack(f"{order}{len(values)}H", *values)
        if tag in (273, 279):
            content = struct.pack(f"{order}I", *values)
        kind = 4 if tag in (273, 279) else 3
        if len(content) > 4:
            offset = struct.pack(f"{order}I", start + len(extra))
            extra += content
            content = offset
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + content.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    count = struct.pack(f"{order}H", len(fields))
    return (
        mark + struct.pack(f"{order}I", 8 + len(data)) + data + count + entries + b"\0" * 4 + extra
    )


def _palette_image(colours: Pixels = COLOURS) -> Image.Image:
    image = Image.fromarray(INDEX)
    image.putpalette(colours.tobytes())
    return image


def _pngs() -> Iterator[OddImage]:
    plte = chunk(b"PLTE", COLOURS.tobytes())
    three = GREY[:, :, None]
    for depth, top in ((1, 1), (2, 3), (4, 15)):
        samples = GREY % (top + 1)
        yield OddImage(
            f"png grey {depth}",
            png(samples, depth, 0),
            samples[:, :, None] * (255 // top),
            grey=True,
        )
        key = 0 if depth == 1 else 1  # not white
        trns = chunk(b"tRNS", struct.pack(">H", key))
        alpha = np.where(samples == key, 0, 255)
        yield OddImage(
            f"png grey {depth} tRNS",
            png(samples, depth, 0, before=trns),
            on(255, samples * (255 // top), alpha)[:, :, None],
            grey=True,
        )
        samples = INDEX % (top + 1)
        yield OddImage(
            f"png palette {depth}", png(samples, depth, 3, before=plte), COLOURS[samples]
        )
    yield OddImage("png grey 8", png(GREY, 8, 0), three, grey=True)
    trns = chunk(b"tRNS", struct.pack(">H", int(GREY[2, 2])))
    hidden = np.where(GREY[2, 2] == GREY, 0, 255)
    yield OddImage(
        "png grey 8 tRNS",
        png(GREY, 8, 0, before=trns),
        on(255, GREY, hidden)[:, :, None],
        grey=True,
    )
    grey16 = np.rint(GREY16 / 257).astype(np.uint8)
    yield OddImage("png grey 16", png(GREY16, 16, 0), grey16[:, :, None], grey=True)
    trns = chunk(b"tRNS", struct.pack(">H", int(GREY16[2, 2])))
    hidden = np.where(GREY16[2, 2] == GREY16, 0, 255)
    yield OddImage(
        "png grey 16 tRNS",
        png(GREY16, 16, 0, before=trns),
        on(255, grey16, hidden)[:, :, None],
        grey=True,
    )
    yield OddImage("png palette 8", png(INDEX, 8, 3, before=plte), COLOURS[INDEX])
    greys = chunk(b"PLTE", GREYS.tobytes())
    yield OddImage(
        "png grey palette", png(INDEX, 8, 3, before=greys), GREYS[INDEX][:, :, :1], grey=True
    )
    some = chunk(b"tRNS", CLEAR.tobytes())
    clear = on(255, COLOURS[INDEX], CLEAR[INDEX])
    yield OddImage("png palette tRNS", png(INDEX, 2, 3, before=plte + some), clear)
    clear = on(255, GREYS[INDEX], CLEAR[INDEX])[:, :, :1]
    yield OddImage("png grey palette tRNS", png(INDEX, 2, 3, before=greys + some), clear, grey=True)
    one = chunk(b"tRNS", b"\xff\x00")
    clear = on(255, COLOURS[INDEX], np.where(INDEX == 1, 0, 255))
    yield OddImage("png palette one transparent", png(INDEX, 8, 3, before=plte + one), clear)
    yield OddImage("png rgb", png(RGB, 8, 2), RGB)
    yield OddImage("png rgb interlaced", png(RGB, 8, 2, interlaced=True), RGB)
    yield OddImage(
        "png grey 16 interlaced", png(GREY16, 16, 0, interlaced=True), grey16[:, :, None], grey=True
    )
    trns = chunk(b"tRNS", struct.pack(">HHH", *RGB[2, 2].tolist()))
    hidden = np.where((RGB[2, 2] == RGB).all(axis=2), 0, 255)
    yield OddImage("png rgb tRNS", png(RGB, 8, 2, before=trns), on(255, RGB, hidden))
    yield OddImage("png rgba", png(np.dstack([RGB, ALPHA]), 8, 6), on(255, RGB, ALPHA))
    yield OddImage(
        "png la", png(np.dstack([GREY, ALPHA]), 8, 4), on(255, GREY, ALPHA)[:, :, None], grey=True
    )
    # Pillow keeps the upper byte of 16-bit colours.
    high = (RGB16 >> 8).astype(np.uint8)
    yield OddImage("png rgb 16", png(RGB16, 16, 2), high)
    trns = chunk(b"tRNS", struct.pack(">HHH", *RGB16[2, 2].tolist()))
    hidden = np.where((high == high[2, 2]).all(axis=2), 0, 255)
    yield OddImage("png rgb 16 tRNS", png(RGB16, 16, 2, before=trns), on(255, high, hidden))
    alpha16 = ALPHA.astype(np.uint16) * 257
    yield OddImage("png rgba 16", png(np.dstack([RGB16, alpha16]), 16, 6), on(255, high, ALPHA))
    shades = on(255, (GREY16 >> 8).astype(np.uint8), ALPHA)[:, :, None].repeat(3, axis=2)
    yield OddImage("png la 16", png(np.dstack([GREY16, alpha16]), 16, 4), shades)
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    yield OddImage(
        "png animated",
        encode(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        RGB,
        animated=True,
    )
    for orientation, store in ORIENTED.items():
        block = chunk(b"eXIf", exif(orientation).tobytes()[6:])
        yield OddImage(f"png exif {orientation}", png(store(RGB), 8, 2, before=block), RGB)
    yield OddImage(
        "png exif behind pixels",
        png(ORIENTED[6](RGB), 8, 2, after=chunk(b"eXIf", exif(6).tobytes()[6:])),
        RGB,
    )
    xmp = chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>')
    yield OddImage("png xmp orientation", png(ORIENTED[6](RGB), 8, 2, before=xmp), RGB)
    yield OddImage(
        "png exif grey 16",
        png(ORIENTED[8](GREY16), 16, 0, before=block),
        grey16[:, :, None],
        grey=True,
    )
    yield OddImage(
        "png exif damaged",
        png(RGB, 8, 2, before=chunk(b"eXIf", b"II*\0\xff\xff\xff\xff nonsense")),
        RGB,
    )


def _jpegs() -> Iterator[OddImage]:
    best = {"quality": 95, "subsampling": 0}
    yield OddImage("jpeg rgb", encode(SMOOTH, "JPEG", **best), SMOOTH, 6)
    yield OddImage("jpeg 4:2:0", encode(SMOOTH, "JPEG", quality=95), SMOOTH, 9)
    yield OddImage("jpeg progressive", encode(SMOOTH, "JPEG", progressive=True, **best), SMOOTH, 6)
    yield OddImage(
        "jpeg grey", encode(SMOOTH_GREY, "JPEG", quality=95), SMOOTH_GREY[:, :, None], 6, grey=True
    )
    for orientation, store in ORIENTED.items():
        data = encode(np.ascontiguousarray(store(SMOOTH)), "JPEG", exif=exif(orientation), **best)
        yield OddImage(f"jpeg exif {orientation}", data, SMOOTH, 6)
    data = encode(SMOOTH, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffnonsense", **best)
    yield OddImage("jpeg exif damaged", data, SMOOTH, 6)
    inks = Image.merge(
        "CMYK",
        [Image.fromarray(255 - SMOOTH[:, :, c]) for c in range(3)] + [Image.new("L", (48, 32))],
    )
    data = encode(inks, "JPEG", quality=95)
    yield OddImage("jpeg cmyk", data, SMOOTH, 6)
    start = data.index(b"\xff\xee")
    length = int.from_bytes(data[start + 2 : start + 4], "big") + 2
    without = data[:start] + data[start + length :]
    yield OddImage("jpeg cmyk without Adobe marker", without, SMOOTH, 6)
    frames = [Image.fromarray(SMOOTH), Image.fromarray(SMOOTH[::-1].copy())]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:], **best)
    yield OddImage("mpo", data, SMOOTH, 6, animated=True)


def _gifs() -> Iterator[OddImage]:
    image = _palette_image()
    yield OddImage("gif", encode(image, "GIF"), COLOURS[INDEX])
    yield OddImage("gif not interlaced", encode(image, "GIF", interlace=0), COLOURS[INDEX])
    yield OddImage("gif grey", encode(GREY, "GIF"), GREY[:, :, None], grey=True)
    yield OddImage(
        "gif grey palette", encode(_palette_image(GREYS), "GIF"), GREYS[INDEX][:, :, :1], grey=True
    )
    clear = on(255, COLOURS[INDEX], np.where(INDEX == 1, 0, 255))
    yield OddImage("gif transparent", encode(image, "GIF", transparency=1), clear)
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 80, 160)]
    yield OddImage(
        "gif animated",
        encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        np.full((8, 8, 1), 10, np.uint8),
        grey=True,
        animated=True,
    )


def _bmp(rows: list[bytes], bits: int, palette: bytes = b"", height: int = 5) -> bytes:
    body = b"".join(row + b"\0" * (-len(row) % 4) for row in rows)
    info = struct.pack(
        "<IiiHHIIiiII", 40, 7, height, 1, bits, 0, len(body), 0, 0, len(palette) // 4, 0
    )
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body


def _bmps() -> Iterator[OddImage]:
    palette = np.dstack([COLOURS[None, :, ::-1], np.zeros((1, 4, 1), np.uint8)]).tobytes()
    nibbles = np.pad(INDEX, ((0, 0), (0, 1)))
    rows = [bytes((row[::2] << 4 | row[1::2]).tolist()) for row in nibbles[::-1]]
    yield OddImage("bmp 4", _bmp(rows, 4, palette), COLOURS[INDEX])
    rows = [np.packbits(row).tobytes() for row in BITS[::-1]]
    yield OddImage("bmp 1 coloured", _bmp(rows, 1, palette[:8]), COLOURS[BITS])
    yield OddImage(
        "bmp 1",
        encode(Image.fromarray(BITS * 255).convert("1"), "BMP"),
        BITS[:, :, None] * 255,
        grey=True,
    )
    yield OddImage("bmp 8", encode(_palette_image(), "BMP"), COLOURS[INDEX])
    yield OddImage("bmp 8 grey", encode(GREY, "BMP"), GREY[:, :, None], grey=True)
    yield OddImage("bmp 24", encode(RGB, "BMP"), RGB)
    top_down = [row.tobytes() for row in RGB[:, :, ::-1]]
    yield OddImage("bmp 24 top-down", _bmp(top_down, 24, height=-5), RGB)
    padded = np.dstack([RGB[:, :, ::-1], np.zeros((5, 7, 1), np.uint8)])[::-1]
    yield OddImage("bmp 32", _bmp([row.tobytes() for row in padded], 32), RGB)
    fives = (RGB >> 3).astype(np.uint16)
    words = (fives[..., 0] << 10 | fives[..., 1] << 5 | fives[..., 2])[::-1]
    rows = [row.astype("<u2").tobytes() for row in words]
    yield OddImage("bmp 16", _bmp(rows, 16), (fives * 255 // 31).astype(np.uint8), 1)


def _tiffs() -> Iterator[OddImage]:
    grey = GREY[:, :, None]
    yield OddImage(
        "tiff 1",
        encode(Image.fromarray(BITS * 255).convert("1"), "TIFF"),
        BITS[:, :, None] * 255,
        grey=True,
    )
    yield OddImage("tiff grey", encode(GREY, "TIFF"), grey, grey=True)
    yield OddImage("tiff white is zero", tiff(GREY.tobytes(), (8,), 0), 255 - grey, grey=True)
    yield OddImage("tiff rgb", encode(RGB, "TIFF"), RGB)
    yield OddImage("tiff palette", encode(_palette_image(), "TIFF"), COLOURS[INDEX])
    yield OddImage(
        "tiff grey palette",
        encode(_palette_image(GREYS), "TIFF"),
        GREYS[INDEX][:, :, :1],
        grey=True,
    )
    rgba = np.dstack([RGB, ALPHA])
    yield OddImage("tiff rgba", encode(rgba, "TIFF"), on(255, RGB, ALPHA))
    la = np.dstack([GREY, ALPHA])
    yield OddImage("tiff la", encode(la, "TIFF"), on(255, GREY, ALPHA)[:, :, None], grey=True)
    ink = ((GREY.astype(int) * ALPHA + 127) // 255).astype(np.uint8)
    data = tiff(np.dstack([ink, ALPHA]).tobytes(), (8, 8), 1, tags={338: (1,)})
    yield OddImage("tiff la premultiplied", data, (ink + 255 - ALPHA)[:, :, None], 1, grey=True)
    inks = ((RGB.astype(int) * ALPHA[:, :, None] + 127) // 255).astype(np.uint8)
    data = tiff(np.dstack([inks, ALPHA]).tobytes(), (8, 8, 8, 8), 2, tags={338: (1,)})
    yield OddImage("tiff rgba premultiplied", data, inks + 255 - ALPHA[:, :, None], 1)
    grey16 = np.rint(GREY16 / 257).astype(np.uint8)[:, :, None]
    little, big = GREY16.astype("<u2").tobytes(), GREY16.astype(">u2").tobytes()
    yield OddImage("tiff 16", tiff(little, (16,), 1), grey16, grey=True)
    yield OddImage("tiff 16 big-endian", tiff(big, (16,), 1, order=">"), grey16, grey=True)
    yield OddImage("tiff 16 white is zero", tiff(little, (16,), 0), 255 - grey16, grey=True)
    positive = GREY16 >> 1
    data = tiff(positive.astype("<i2").tobytes(), (16,), 1, sample_format=2)
    yield OddImage(
        "tiff 16 signed",
        data,
        np.rint(positive[:, :, None] / 32767 * 255).astype(np.uint8),
        grey=True,
    )
    twelve = np.pad(GREY16 >> 4, ((0, 0), (0, 1)))
    first, second = twelve[:, ::2], twelve[:, 1::2]
    packed = np.dstack([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    rows = packed.astype(np.uint8).reshape(5, -1)[:, :11]
    data = tiff(rows.tobytes(), (12,), 1)
    yield OddImage(
        "tiff 12", data, np.rint((GREY16 >> 4)[:, :, None] / 4095 * 255).astype(np.uint8), grey=True
    )
    wide = GREY16.astype(np.uint64) * 65537
    grey32 = np.rint(wide[:, :, None] / (2**32 - 1) * 255).astype(np.uint8)
    data = tiff(wide.astype("<u4").tobytes(), (32,), 1)
    yield OddImage("tiff 32 unsigned", data, grey32, grey=True)
    half = wide >> 1
    grey31 = np.rint(half[:, :, None] / (2**31 - 1) * 255).astype(np.uint8)
    data = tiff(half.astype(">i4").tobytes(), (32,), 1, order=">", sample_format=2)
    yield OddImage("tiff 32 signed", data, grey31, grey=True)
    floats = (GREY / 255).astype(np.float32)
    yield OddImage("tiff float", encode(floats, "TIFF"), grey, grey=True)
    yield OddImage(
        "tiff rgb 16",
        tiff(RGB16.astype("<u2").tobytes(), (16,) * 3, 2),
        (RGB16 >> 8).astype(np.uint8),
    )
    inks = Image.merge(
        "CMYK", [Image.fromarray(255 - RGB[:, :, c]) for c in range(3)] + [Image.new("L", (7, 5))]
    )
    yield OddImage("tiff cmyk", encode(inks, "TIFF"), RGB)
    neutral = np.full_like(SMOOTH_GREY, 128)
    lab = Image.merge("LAB", [Image.fromarray(c) for c in (SMOOTH_GREY, neutral, neutral)])
    # L* to sRGB without colour: Y from L*, then the transfer curve of sRGB.
    light = (SMOOTH_GREY / 255 * 100 + 16) / 116
    linear = np.where(light > 6 / 29, light**3, 3 * (6 / 29) ** 2 * (light - 4 / 29))
    curve = np.where(
        linear > 0.0031308, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055, 12.92 * linear
    )
    yield OddImage(
        "tiff lab",
        encode(lab, "TIFF"),
        np.rint(curve * 255).astype(np.uint8)[:, :, None].repeat(3, axis=2),
        4,
    )
    ycc = np.dstack([GREY, np.full((5, 7, 2), 128, np.uint8)])
    yield OddImage(
        "tiff ycbcr", encode(Image.fromarray(ycc, "YCbCr"), "TIFF"), grey.repeat(3, axis=2)
    )
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    data = encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    yield OddImage("tiff pages", data, RGB, animated=True)
    for orientation, store in ORIENTED.items():
        stored = np.ascontiguousarray(store(RGB))
        size = stored.shape[1], stored.shape[0]
        data = tiff(stored.tobytes(), (8, 8, 8), 2, size=size, tags={274: (orientation,)})
        yield OddImage(f"tiff orientation {orientation}", data, RGB)
    if features.check("libtiff"):
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
            yield OddImage(f"tiff {compression}", encode(RGB, "TIFF", compression=compression), RGB)
        lossy = encode(SMOOTH, "TIFF", compression="jpeg", quality=95)
        yield OddImage("tiff jpeg", lossy, SMOOTH, 9)
        bits = Image.fromarray(BITS * 255).convert("1")
        yield OddImage(
            "tiff group4",
            encode(bits, "TIFF", compression="group4"),
            BITS[:, :, None] * 255,
            grey=True,
        )
        grey16_lzw = encode(Image.fromarray(GREY16), "TIFF", compression="tiff_lzw")
        yield OddImage("tiff 16 lzw", grey16_lzw, grey16, grey=True)


def _webps() -> Iterator[OddImage]:
    yield OddImage("webp lossless", encode(RGB, "WEBP", lossless=True), RGB)
    yield OddImage("webp lossy", encode(SMOOTH, "WEBP", quality=95), SMOOTH, 12)
    rgba = np.dstack([RGB, ALPHA])
    yield OddImage(
        "webp alpha", encode(rgba, "WEBP", lossless=True, exact=True), on(255, RGB, ALPHA)
    )
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    yield OddImage("webp animated", data, RGB, animated=True)
    turned = np.ascontiguousarray(ORIENTED[6](RGB))
    yield OddImage("webp exif 6", encode(turned, "WEBP", lossless=True, exif=exif(6)), RGB)


def _netpbms() -> Iterator[OddImage]:
    grey16 = np.rint(GREY16 / 257).astype(np.uint8)[:, :, None]
    words = " ".join(map(str, RGB.ravel().tolist())).encode()
    yield OddImage("ppm plain", b"P3 7 5 255\n" + words, RGB)
    yield OddImage("ppm", b"P6 7 5 255\n" + RGB.tobytes(), RGB)
    yield OddImage(
        "ppm 16",
        b"P6 7 5 65535\n" + RGB16.astype(">u2").tobytes(),
        np.rint(RGB16 / 257).astype(np.uint8),
    )
    yield OddImage("pgm", b"P5 7 5 255\n" + GREY.tobytes(), GREY[:, :, None], grey=True)
    yield OddImage("pgm 16", b"P5 7 5 65535\n" + GREY16.astype(">u2").tobytes(), grey16, grey=True)
    ten = GREY16 >> 6
    yield OddImage(
        "pgm 10",
        b"P5 7 5 1023\n" + ten.astype(">u2").tobytes(),
        np.rint(ten / 1023 * 255).astype(np.uint8)[:, :, None],
        1,
        grey=True,
    )
    packed = np.packbits(1 - BITS, axis=1).tobytes()
    yield OddImage("pbm", b"P4 7 5\n" + packed, BITS[:, :, None] * 255, grey=True)
    floats = (GREY[::-1] / 255).astype("<f4").tobytes()
    yield OddImage("pfm", b"Pf\n7 5\n-1.0\n" + floats, GREY[:, :, None], grey=True)


def _jpeg2000s() -> Iterator[OddImage]:
    grey16 = np.rint(GREY16 / 257).astype(np.uint8)[:, :, None]
    yield OddImage("jp2 rgb", encode(RGB, "JPEG2000"), RGB)
    yield OddImage("j2k rgb", encode(RGB, "JPEG2000", no_jp2=True), RGB)
    yield OddImage("jp2 grey", encode(GREY, "JPEG2000"), GREY[:, :, None], grey=True)
    yield OddImage("jp2 16", encode(GREY16, "JPEG2000"), grey16, grey=True)
    yield OddImage(
        "jp2 la",
        encode(np.dstack([GREY, ALPHA]), "JPEG2000"),
        on(255, GREY, ALPHA)[:, :, None],
        grey=True,
    )
    yield OddImage("jp2 rgba", encode(np.dstack([RGB, ALPHA]), "JPEG2000"), on(255, RGB, ALPHA))


def _avifs() -> Iterator[OddImage]:
    best = {"quality": 95, "subsampling": "4:4:4", "speed": 8}
    yield OddImage("avif", encode(SMOOTH, "AVIF", **best), SMOOTH, 12)
    alpha = np.where(SMOOTH_GREY < 96, 0, 255).astype(np.uint8)
    data = encode(np.dstack([SMOOTH, alpha]), "AVIF", **best)
    yield OddImage("avif alpha", data, on(255, SMOOTH, alpha), 40)
    turned = np.ascontiguousarray(ORIENTED[6](SMOOTH))
    yield OddImage("avif exif 6", encode(turned, "AVIF", exif=exif(6), **best), SMOOTH, 12)


def _psd_of_two_layers() -> bytes:
    layer = struct.pack(">4iHHI", 0, 0, 5, 7, 1, 0, 37) + b"8BIMnorm" + b"\xff\0\0\0" + bytes(4)
    pixels = struct.pack(">H", 0) + GREY.tobytes() + b"\0"
    layers = struct.pack(">h", 2) + 2 * layer + 2 * pixels
    layers += b"\0" * (len(layers) % 2)
    section = struct.pack(">I", len(layers)) + layers
    return (
        b"8BPS"
        + struct.pack(">H6xHIIHH", 1, 3, 5, 7, 8, 3)
        + bytes(8)
        + struct.pack(">I", len(section))
        + section
        + struct.pack(">H", 0)
        + np.moveaxis(RGB, 2, 0).tobytes()
    )


def _others() -> Iterator[OddImage]:
    rgba, la = np.dstack([RGB, ALPHA]), np.dstack([GREY, ALPHA])
    on_white, grey_on_white = on(255, RGB, ALPHA), on(255, GREY, ALPHA)[:, :, None]
    grey, one = GREY[:, :, None], Image.fromarray(BITS * 255).convert("1")
    square = np.kron(RGB[:4, :4], np.ones((4, 4, 1), np.uint8))
    mask = np.kron(BITS[:4, :4], np.ones((4, 4), np.uint8)) * 255
    icon = np.dstack([square, mask])
    yield OddImage("ico", encode(icon, "ICO", sizes=[(16, 16)]), on(255, square, mask))
    yield OddImage(
        "ico bmp", encode(icon, "ICO", sizes=[(16, 16)], bitmap_format="bmp"), on(255, square, mask)
    )
    picture = png(INDEX, 8, 3, before=chunk(b"PLTE", COLOURS.tobytes()))
    entry = struct.pack("<BBBBHHII", 7, 5, 0, 0, 1, 8, len(picture), 22)
    yield OddImage("ico png palette", b"\0\0\1\0\1\0" + entry + picture, COLOURS[INDEX])
    pixel = encode(np.array([[[9, 50, 200, 255]]], np.uint8), "TGA")[:22]  # without a footer
    yield OddImage("tga one pixel", pixel, np.array([[[9, 50, 200]]], np.uint8))
    yield OddImage("psd layers", _psd_of_two_layers(), RGB)
    for rle in (False, True):
        name = "tga rle" if rle else "tga"
        yield OddImage(f"{name} rgb", encode(RGB, "TGA", rle=rle), RGB)
        yield OddImage(f"{name} rgba", encode(rgba, "TGA", rle=rle), on_white)
        yield OddImage(f"{name} grey", encode(GREY, "TGA", rle=rle), grey, grey=True)
        yield OddImage(f"{name} la", encode(la, "TGA", rle=rle), grey_on_white, grey=True)
        yield OddImage(f"{name} palette", encode(_palette_image(), "TGA", rle=rle), COLOURS[INDEX])
    yield OddImage("dds rgb", encode(RGB, "DDS"), RGB)
    yield OddImage("dds rgba", encode(rgba, "DDS"), on_white)
    yield OddImage("dds la", encode(la, "DDS"), grey_on_white, grey=True)
    yield OddImage("pcx rgb", encode(RGB, "PCX"), RGB)
    yield OddImage("pcx grey", encode(GREY, "PCX"), grey, grey=True)
    yield OddImage("pcx palette", encode(_palette_image(), "PCX"), COLOURS[INDEX])
    yield OddImage("pcx 1", encode(one, "PCX"), BITS[:, :, None] * 255, grey=True)
    yield OddImage("sgi rgb", encode(RGB, "SGI"), RGB)
    yield OddImage("sgi rgba", encode(rgba, "SGI"), on_white)
    yield OddImage("sgi grey", encode(GREY, "SGI"), grey, grey=True)
    yield OddImage("im rgb", encode(RGB, "IM"), RGB)
    yield OddImage("im palette", encode(_palette_image(), "IM"), COLOURS[INDEX])
    yield OddImage(
        "im 16", encode(GREY16, "IM"), np.rint(GREY16 / 257).astype(np.uint8)[:, :, None], grey=True
    )
    yield OddImage("msp", encode(one, "MSP"), BITS[:, :, None] * 255, grey=True)
    yield OddImage("xbm", encode(one, "XBM"), BITS[:, :, None] * 255, grey=True)
    yield OddImage("spider", encode((GREY / 255).astype(np.float32), "SPIDER"), grey, grey=True)


def odd_images() -> list[OddImage]:
    """Return all that this build of Pillow can read and write."""
    groups = [_pngs, _jpegs, _gifs, _bmps, _tiffs, _netpbms, _others]
    optional = {"webp": _webps, "jpg_2000": _jpeg2000s, "avif": _avifs}
    groups += [group for name, group in optional.items() if features.check(name)]
    return [image for group in groups for image in group()]

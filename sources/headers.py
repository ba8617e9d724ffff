"""How large a picture is, from the first bytes of its file: before anything is decoded."""

import re
import struct
from pathlib import Path

_HEAD = 1 << 20  # bytes; a photograph's EXIF and colour profile come before its size
_SIZES_OF_JPEG = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WIDTH, _HEIGHT = 256, 257  # tags of TIFF


def picture_size(path: Path) -> tuple[int, int] | None:
    """Return the width and height that a file's header states, pixels.

    None where it is not PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, JPEG 2000, AVIF or HEIC, or has no
    such header.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
        try:
            if head[:4] in (b"II*\0", b"MM\0*"):
                file.seek(struct.unpack(_order(head) + "I", head[4:8])[0])
                return _tiff(file.read(2 + 12 * 4096), _order(head))
            return _size(head)
        except (struct.error, IndexError):
            return None


def _size(head: bytes) -> tuple[int, int] | None:
    size: tuple[int, int] | None = None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        size = struct.unpack(">II", head[16:24])
    elif head.startswith(b"\xff\xd8"):
        size = _jpeg(head)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        size = _webp(head)
    elif head.startswith(b"BM"):
        old = struct.unpack("<I", head[14:18])[0] == 12
        width, height = struct.unpack("<HH" if old else "<ii", head[18 : 22 if old else 26])
        size = abs(width), abs(height)  # a negative height is one from the top
    elif head.startswith(b"GIF8"):
        size = struct.unpack("<HH", head[6:10])
    elif head[4:8] == b"ftyp" or head[4:8] == b"jP  ":
        size = _boxes(head)
    elif found := re.match(rb"P[1-6](?:\s+|#[^\n]*\n)*(\d{1,9})\s+(\d{1,9})\s", head):
        size = int(found[1]), int(found[2])
    return size


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """The largest size of any frame header: a decoder might take either."""
    at, size = 2, None
    while at + 9 <= len(head):
        if head[at] != 0xFF:
            break
        marker = head[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _SIZES_OF_JPEG:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            size = max(size or (0, 0), (width, height), key=lambda each: each[0] * each[1])
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return size


def _boxes(head: bytes) -> tuple[int, int] | None:
    """The largest size in the boxes of JPEG 2000, AVIF or HEIC (which has tiles, too)."""
    sizes = [(at[1], at[0]) for at in _pairs(rb"ihdr(.{8})", head)]
    sizes += [(at[0], at[1]) for at in _pairs(rb"ispe.{4}(.{8})", head)]
    return max(sizes, key=lambda each: each[0] * each[1], default=None)


def _pairs(pattern: bytes, head: bytes) -> list[tuple[int, int]]:
    return [struct.unpack(">II", found[1]) for found in re.finditer(pattern, head, re.DOTALL)]


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[i : i + 3], "little") + 1 for i in (24, 27))
        return width, height
    if kind == b"VP8L":
        bits = struct.unpack("<I", head[21:25])[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _order(head: bytes) -> str:
    return "<" if head[:2] == b"II" else ">"


def _tiff(folder: bytes, order: str) -> tuple[int, int] | None:
    """The size in a table of tags."""
    found: dict[int, int] = {}
    for number in range(struct.unpack(order + "H", folder[:2])[0]):
        tag, kind = struct.unpack(order + "HH", folder[2 + 12 * number : 6 + 12 * number])
        value = folder[10 + 12 * number : 14 + 12 * number]
        if tag in (_WIDTH, _HEIGHT):
            short = kind == 3
            found[tag] = struct.unpack(order + ("H" if short else "I"), value[: 2 if short else 4])[
                0
            ]
    return (found[_WIDTH], found[_HEIGHT]) if len(found) == 2 else None

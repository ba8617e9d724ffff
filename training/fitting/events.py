"""Numbers for TensorBoard, whatever backend Keras runs on; needs no other package.

A file is a row of records of TensorFlow's framing (length, checksum, bytes, checksum), each
of which is an `Event` in protocol buffers: 1 wall time, 2 step, 5 summary; in the summary 1
value, and in that 1 tag, 2 number.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from training.files import writing

_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits reversed


def write_events(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Write one scalar for each column and epoch of a log; the file is made anew.

    Args:
        path: its name wants `tfevents` in it.
        history: lines with `epoch` and `minutes`; the latter stand for the time.

    Raises:
        SinkError: it cannot be written.
    """
    version = _field(3, 2, b"brain.Event:2")
    records = [_record(_field(1, 1, struct.pack("<d", 0.0)) + version)]
    for line in history:
        head = _field(1, 1, struct.pack("<d", 60 * line.get("minutes", 0.0)))
        head += _field(2, 0, _varint(int(line["epoch"])))
        values = b"".join(
            _field(1, 2, _field(1, 2, name.encode()) + _field(2, 5, struct.pack("<f", value)))
            for name, value in line.items()
            if name not in ("epoch", "minutes")
        )
        records.append(_record(head + _field(5, 2, values)))
    with writing(path) as part:
        part.write_bytes(b"".join(records))


def _field(number: int, kind: int, value: bytes) -> bytes:
    """A field of a protocol buffer: kind 0 a varint, 1 eight bytes, 2 bytes, 5 four bytes."""
    length = _varint(len(value)) if kind == 2 else b""
    return _varint(number << 3 | kind) + length + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ _POLYNOMIAL * (crc & 1)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)

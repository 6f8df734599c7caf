"""PNG and GeoTIFF files whose bytes are the same on every machine.

Two implementations of zlib may compress the same data to different bytes, both right. The pictures here are
small, so they are packed by Huffman codes alone (RFC 1951, section 3.2.7), which leaves nothing to choose.
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

RGB = tuple[int, int, int]

_END_OF_BLOCK = 256
_LONGEST_CODE = 15
_SHORT, _LONG, _DOUBLE = 3, 4, 12  # field types of TIFF 6.0, section 2
_FORMATS = {_SHORT: "H", _LONG: "I", _DOUBLE: "d"}


class Place(NamedTuple):
    """Where a raster lies: the upper left corner and the size of a pixel, in degrees."""

    west: float
    north: float
    pixel_width: float
    pixel_height: float


def png_bytes(rows: Sequence[bytes], palette: Sequence[RGB], *, transparent: int) -> bytes:
    """Return a PNG with a palette (PNG, third edition, section 11); one colour of it is transparent."""
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    alpha = bytes(0 if index == transparent else 255 for index in range(transparent + 1))
    data = min((zlib_bytes(filtered) for filtered in _filtered_rows(rows)), key=len)
    chunks = [
        (b"IHDR", header),
        (b"PLTE", b"".join(map(bytes, palette))),
        (b"tRNS", alpha),
        (b"IDAT", data),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in chunks)


def geotiff_bytes(rows: Sequence[bytes], place: Place) -> bytes:
    """Return a GeoTIFF of three bands of bytes (OGC 19-008r4) in WGS 84 longitude and latitude.

    `rows` are red, green, blue for each pixel. It is one strip, packed with horizontal differencing.
    """
    data = zlib_bytes(b"".join(_difference_pixels(row) for row in rows))
    keys = [1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326]
    fields: list[tuple[int, int, list[int] | list[float]]] = [
        (256, _SHORT, [len(rows[0]) // 3]),
        (257, _SHORT, [len(rows)]),
        (258, _SHORT, [8, 8, 8]),
        (259, _SHORT, [8]),  # packed as in PNG
        (262, _SHORT, [2]),  # red, green, blue
        (273, _LONG, [8]),  # the pixels begin after the file header
        (277, _SHORT, [3]),
        (278, _SHORT, [len(rows)]),
        (279, _LONG, [len(data)]),
        (284, _SHORT, [1]),
        (317, _SHORT, [2]),
        (33550, _DOUBLE, [place.pixel_width, place.pixel_height, 0.0]),
        (33922, _DOUBLE, [0.0, 0.0, 0.0, place.west, place.north, 0.0]),
        (34735, _SHORT, keys),
    ]
    padding = b"\0" * (len(data) % 2)
    directory_at = 8 + len(data) + len(padding)
    return struct.pack("<2sHI", b"II", 42, directory_at) + data + padding + _tiff_directory(fields, directory_at)


def zlib_bytes(data: bytes) -> bytes:
    """Return `data` in the zlib format (RFC 1950), packed with one set of Huffman codes and no matches."""
    counts = Counter(data)
    counts.update((0, _END_OF_BLOCK))  # two symbols at least: a code of no bits cannot be written
    lengths = _code_lengths(counts)
    codes = _huffman_codes(lengths)
    # In the order of the stream: last block, own codes, 257 of them, one for distances, 19 lengths of lengths,
    # of which the first three (they repeat) are not used and all others have four bits.
    bits = ["1", "01", "00000", "00000", "1111"] + ["000"] * 3 + ["001"] * 16
    bits += [format(lengths.get(symbol, 0), "04b") for symbol in range(257)] + ["0000"]
    bits += [codes[symbol] for symbol in data] + [codes[_END_OF_BLOCK]]
    packed = _pack_bits(bits)
    return b"\x78\x01" + packed + struct.pack(">I", zlib.adler32(data))


def _pack_bits(bits: Iterable[str]) -> bytes:
    """Return the bits as bytes, the first bit lowest (RFC 1951, section 3.1.1)."""
    text = "".join(bits)
    return int(text[::-1], 2).to_bytes((len(text) + 7) // 8, "little")


def _code_lengths(counts: Counter[int]) -> dict[int, int]:
    """Return the length of each symbol's Huffman code, none over the limit of the format."""
    while True:
        lengths = dict.fromkeys(counts, 0)
        heap = [(count, symbol, [symbol]) for symbol, count in sorted(counts.items())]
        heapq.heapify(heap)
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            symbols = first[2] + second[2]
            for symbol in symbols:
                lengths[symbol] += 1
            heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), symbols))
        if max(lengths.values()) <= _LONGEST_CODE:
            return lengths
        counts = Counter({symbol: count // 2 + 1 for symbol, count in counts.items()})


def _huffman_codes(lengths: dict[int, int]) -> dict[int, str]:
    """Return the canonical codes for the lengths (RFC 1951, section 3.2.2), highest bit first."""
    codes: dict[int, str] = {}
    code = previous = 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        code <<= length - previous
        codes[symbol] = format(code, f"0{length}b")
        code, previous = code + 1, length
    return codes


def _filtered_rows(rows: Sequence[bytes]) -> Iterable[bytes]:
    """Yield the picture as it is, then as differences to the left, then upwards (PNG, section 9)."""
    yield b"".join(b"\0" + row for row in rows)
    yield b"".join(b"\1" + _subtract(row, b"\0" + row[:-1]) for row in rows)
    above = [bytes(len(rows[0])), *rows[:-1]]
    yield b"".join(b"\2" + _subtract(row, previous) for row, previous in zip(rows, above, strict=True))


def _difference_pixels(row: bytes) -> bytes:
    return _subtract(row, b"\0\0\0" + row[:-3])


def _subtract(row: bytes, other: bytes) -> bytes:
    return bytes((a - b) & 255 for a, b in zip(row, other, strict=True))


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _tiff_directory(fields: Sequence[tuple[int, int, list[int] | list[float]]], start: int) -> bytes:
    """Return an image file directory (TIFF 6.0, section 2) with the values that do not fit behind it."""
    overflow_at = start + 2 + 12 * len(fields) + 4
    entries, overflow = b"", b""
    for tag, kind, values in fields:
        value = struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)
        if len(value) > 4:
            position, overflow = overflow_at + len(overflow), overflow + value
            value = struct.pack("<I", position)
        entries += struct.pack("<HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    return struct.pack("<H", len(fields)) + entries + bytes(4) + overflow

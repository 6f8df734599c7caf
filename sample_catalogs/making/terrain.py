"""Pictures: noise that is the same at a place whoever looks, coloured as land, sea or town.

Only sums, products and quotients are used, which every machine rounds alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from making.places import Point
from making.rasters import RGB, png_bytes

Rows = list[list[float]]

TRANSPARENT = 0
_SHADES = 6
_COARSE = 24
_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Frame:
    """A picture's place and its size in pixels; row 0 is in the north."""

    west: float
    south: float
    east: float
    north: float
    width: int
    height: int

    def xs(self) -> list[float]:
        """Return the longitude of each column's middle."""
        step = (self.east - self.west) / self.width
        return [self.west + (column + 0.5) * step for column in range(self.width)]

    def ys(self) -> list[float]:
        """Return the latitude of each row's middle."""
        step = (self.north - self.south) / self.height
        return [self.north - (row + 0.5) * step for row in range(self.height)]


@dataclass(frozen=True)
class Palette:
    """Colours along a ramp, each in several shades; colour 0 is transparent, `extra` colours follow it."""

    extra: tuple[RGB, ...]
    ramp: tuple[RGB, ...]

    def colours(self) -> list[RGB]:
        """Return all colours, in the order of their index."""
        shaded = [_shade(colour, 0.72 + 0.09 * shade) for colour in self.ramp for shade in range(_SHADES)]
        return [(0, 0, 0), *self.extra, *shaded]

    def index(self, value: float, light: float) -> int:
        """Return the colour for a value and a brightness, both from 0 to 1 (what lies outside is clamped)."""
        level = min(max(int(value * len(self.ramp)), 0), len(self.ramp) - 1)
        shade = min(max(int(light * _SHADES), 0), _SHADES - 1)
        return 1 + len(self.extra) + level * _SHADES + shade


def make_palette(stops: Sequence[tuple[float, RGB]], levels: int, *, extra: Sequence[RGB] = ()) -> Palette:
    """Return a palette whose ramp runs through the colours at `stops`, from 0 to 1."""
    ramp = []
    for level in range(levels):
        value = level / (levels - 1)
        after = next(index for index, stop in enumerate(stops) if index and stop[0] >= value)
        (low, first), (high, second) = stops[after - 1], stops[after]
        part = (value - low) / (high - low)
        ramp.append(_blend(first, second, part))
    return Palette(tuple(extra), tuple(ramp))


def noise(frame: Frame, cell: float, seed: int, *, octaves: int = 5) -> Rows:
    """Return fractal value noise from 0 to 1 over a frame; `cell` is the size of its coarsest feature in degrees."""
    total = [[0.0] * frame.width for _ in range(frame.height)]
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        for target, row in zip(total, _octave(frame, cell, seed + octave), strict=True):
            target[:] = [sum_ + weight * value for sum_, value in zip(target, row, strict=True)]
        weights += weight
        weight, cell = weight * 0.5, cell * 0.5
    return [[value / weights for value in row] for row in total]


def smooth_rows(frame: Frame, function: Callable[[float, float], float]) -> Rows:
    """Return a function of longitude and latitude over a frame, evaluated at few points and drawn out between."""
    coarse = Frame(frame.west, frame.south, frame.east, frame.north, _COARSE, _COARSE)
    points = [[function(x, y) for x in coarse.xs()] for y in coarse.ys()]
    columns = [_coarse_cell(column, frame.width) for column in range(frame.width)]
    rows = []
    for row in range(frame.height):
        line, weight = _coarse_cell(row, frame.height)
        between = [a + (b - a) * weight for a, b in zip(points[line], points[line + 1], strict=True)]
        rows.append([between[i] + (between[i + 1] - between[i]) * part for i, part in columns])
    return rows


def hill_light(rows: Rows, strength: float) -> Rows:
    """Return how bright each place is when the sun stands in the upper left."""
    light = []
    for above, row in zip([rows[0], *rows[:-1]], rows, strict=True):
        left = [row[0], *row[:-1]]
        light.append([0.5 + strength * (2 * v - w - n) for v, w, n in zip(row, left, above, strict=True)])
    return light


def cut_out(frame: Frame, pixels: Sequence[Sequence[int]], rings: Sequence[Sequence[Point]]) -> list[bytes]:
    """Return the pixels inside the rings, all others transparent."""
    xs = frame.xs()
    rows = []
    for y, row in zip(frame.ys(), pixels, strict=True):
        crossings = sorted(x for ring in rings for x in _crossings(ring, y))
        kept = bytearray(frame.width)
        for start, end in zip(crossings[::2], crossings[1::2], strict=True):
            for column, x in enumerate(xs):
                if start <= x < end:
                    kept[column] = row[column]
        rows.append(bytes(kept))
    return rows


def draw(frame: Frame, palette: Palette, pixels: Sequence[Sequence[int]], rings: Sequence[Sequence[Point]]) -> bytes:
    """Return a PNG of the pixels inside the rings."""
    return png_bytes(cut_out(frame, pixels, rings), palette.colours(), transparent=TRANSPARENT)


def lattice_value(x: int, y: int, seed: int) -> float:
    """Return a number from 0 to 1 that belongs to a point of a grid."""
    mixed = (x * 374761393 + y * 668265263 + seed * 2246822519) & _MASK
    mixed = ((mixed ^ (mixed >> 13)) * 1274126177) & _MASK
    mixed = ((mixed ^ (mixed >> 16)) * 2654435769) & _MASK
    return ((mixed ^ (mixed >> 15)) & _MASK) / 4294967296


def _octave(frame: Frame, cell: float, seed: int) -> Rows:
    columns = [_cell_of(x, cell) for x in frame.xs()]
    first = columns[0][0]
    width = columns[-1][0] - first + 2
    columns = [(index - first, weight) for index, weight in columns]
    lines: dict[int, list[float]] = {}
    rows = []
    for y in frame.ys():
        line, weight = _cell_of(y, cell)
        for index in (line, line + 1):
            if index not in lines:
                lines[index] = [lattice_value(first + column, index, seed) for column in range(width)]
        between = [low + (high - low) * weight for low, high in zip(lines[line], lines[line + 1], strict=True)]
        rows.append([between[i] + (between[i + 1] - between[i]) * part for i, part in columns])
    return rows


def _coarse_cell(index: int, count: int) -> tuple[int, float]:
    """Return between which coarse points a pixel lies; those at the border are drawn out beyond the last point."""
    scaled = (index + 0.5) * _COARSE / count - 0.5
    first = min(max(int(scaled // 1), 0), _COARSE - 2)
    return first, scaled - first


def _cell_of(value: float, cell: float) -> tuple[int, float]:
    scaled = value / cell
    index = int(scaled // 1)
    part = scaled - index
    return index, part * part * (3 - 2 * part)


def _crossings(ring: Sequence[Point], y: float) -> list[float]:
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return [x1 + (y - y1) * (x2 - x1) / (y2 - y1) for (x1, y1), (x2, y2) in pairs if (y1 <= y) != (y2 <= y)]


def _blend(first: RGB, second: RGB, part: float) -> RGB:
    red, green, blue = (int(a + (b - a) * part + 0.5) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _shade(colour: RGB, factor: float) -> RGB:
    red, green, blue = (min(255, int(value * factor + 0.5)) for value in colour)
    return red, green, blue

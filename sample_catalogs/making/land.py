"""Pictures of the Alps: one made-up relief, seen by two satellites and by an elevation model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from making.places import Point
from making.terrain import Frame, Palette, Rows, draw, hill_light, make_palette, noise, smooth_rows

HIGHEST = 4600.0  # metres at relief 1

_CREST = [(6.7, 43.9), (7.0, 45.3), (7.6, 45.95), (9.2, 46.45), (10.6, 46.75), (12.6, 47.05), (15.5, 47.3)]
_SEAS = [(8.9, 43.6, 1.2, 0.7), (13.6, 44.2, 1.5, 1.0)]
_WATER, _CLOUD, _THIN_CLOUD = 1, 2, 3
_SKY = ((24, 48, 78), (248, 249, 251), (208, 214, 219))

NATURAL = make_palette(
    [
        (0.0, (120, 134, 82)),
        (0.12, (104, 122, 70)),
        (0.2, (58, 84, 46)),
        (0.38, (76, 92, 58)),
        (0.5, (126, 116, 88)),
        (0.62, (142, 134, 122)),
        (0.7, (214, 217, 222)),
        (1.0, (255, 255, 255)),
    ],
    20,
    extra=_SKY,
)
INFRARED = make_palette(
    [
        (0.0, (196, 92, 84)),
        (0.2, (150, 40, 48)),
        (0.38, (176, 66, 62)),
        (0.5, (150, 128, 112)),
        (0.62, (120, 126, 130)),
        (0.7, (184, 214, 222)),
        (1.0, (232, 250, 255)),
    ],
    20,
    extra=_SKY,
)
HYPSOMETRIC = make_palette(
    [
        (0.0, (92, 158, 96)),
        (0.15, (172, 200, 120)),
        (0.3, (236, 220, 150)),
        (0.5, (204, 152, 98)),
        (0.75, (150, 110, 96)),
        (1.0, (246, 244, 244)),
    ],
    28,
    extra=((150, 190, 220),),
)


@dataclass(frozen=True)
class Scene:
    """A picture and what can be measured on it, in per cent of its area."""

    png: bytes
    cloud_cover: float
    snow_cover: float


def paint_scene(
    frame: Frame, ring: Sequence[Point], palette: Palette, *, month: int, clouds: float, seed: int
) -> Scene:
    """Paint the land inside the ring with snow by season and about that share of clouds."""
    relief = relief_of(frame)
    cover = noise(frame, 0.7, seed, octaves=4)
    edge = _quantile(cover, 1 - clouds)
    snow_line = 0.66 - 0.3 * abs(month - 7) / 6
    lights = hill_light(relief, 6.0)

    def paint(row: int, column: int) -> int:
        density, height = cover[row][column], relief[row][column]
        if density >= edge:
            return _CLOUD if density >= edge + 0.03 else _THIN_CLOUD
        if height <= 0:
            return _WATER
        snowy = height >= snow_line
        value = max(0.7, height) if snowy else min(height, 0.62)
        return palette.index(value, lights[row][column])

    pixels = _paint_all(frame, paint)
    covered = sum(value in (_CLOUD, _THIN_CLOUD) for row in pixels for value in row)
    snowy = sum(
        height >= snow_line and density < edge
        for heights, densities in zip(relief, cover, strict=True)
        for height, density in zip(heights, densities, strict=True)
    )
    area = frame.width * frame.height
    png = draw(frame, palette, pixels, [ring])
    return Scene(png, round(100 * covered / area, 2), round(100 * snowy / area, 2))


def paint_elevation(frame: Frame, ring: Sequence[Point]) -> tuple[bytes, float, float]:
    """Paint an elevation tile; return the picture, its lowest and its highest place in metres."""
    relief = relief_of(frame)
    lights = hill_light(relief, 6.0)

    def paint(row: int, column: int) -> int:
        height = relief[row][column]
        return HYPSOMETRIC.index(height, lights[row][column]) if height > 0 else _WATER

    png = draw(frame, HYPSOMETRIC, _paint_all(frame, paint), [ring])
    heights = [max(0.0, height) * HIGHEST for row in relief for height in row]
    return png, round(min(heights), 1), round(max(heights), 1)


@lru_cache(maxsize=32)
def relief_of(frame: Frame) -> Rows:
    """Return the height of the land, 0 at the sea and 1 at the highest peak."""
    layers = (
        noise(frame, 0.45, 7),
        noise(frame, 1.6, 23, octaves=2),
        smooth_rows(frame, _massif),
        smooth_rows(frame, _sea_bed),
    )
    return [
        [
            massif * (0.15 + 0.95 * abs(2 * fine - 1) + 0.45 * (fine - 0.3)) + 0.12 * coarse - depth
            for fine, coarse, massif, depth in zip(*rows, strict=True)
        ]
        for rows in zip(*layers, strict=True)
    ]


def _massif(x: float, y: float) -> float:
    """Return 1 on the crest of the mountains and less the farther away."""
    away = min(_squared_distance(x, y, start, end) for start, end in pairwise(_CREST)) / 0.75
    return 1 / (1 + away * away)


def _sea_bed(x: float, y: float) -> float:
    """Return how far the land is drowned."""
    depth = 0.0
    for east, north, width, height in _SEAS:
        u, v = (x - east) / width, (y - north) / height
        depth += 0.5 / (1 + (u * u + v * v) * (u * u + v * v))
    return depth


def _squared_distance(x: float, y: float, start: Point, end: Point) -> float:
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy)
    along = min(1.0, max(0.0, along))
    off_x, off_y = (x - start[0] - along * dx) * 0.7, y - start[1] - along * dy
    return off_x * off_x + off_y * off_y


def _paint_all(frame: Frame, paint: Callable[[int, int], int]) -> list[list[int]]:
    return [[paint(row, column) for column in range(frame.width)] for row in range(frame.height)]


def _quantile(rows: Rows, share: float) -> float:
    values = sorted(value for row in rows for value in row)
    return values[int(share * len(values))] if share < 1 else 2.0

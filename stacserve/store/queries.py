"""The statements of a search, as SQLAlchemy Core, compiled once for each shape.

A statement takes candidates from one *source* (an index that is forced), in the order of their ranks, between
two ranks; every other condition is tested on the rows. Which source is best is the planner's business; the
answer must be the same from each.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from stacserve.geometry import BBox
from stacserve.store.boxes import KIND_BITS, MARGIN, BoxKind
from stacserve.store.conditions import Conditions
from stacserve.store.filters import CONSTANTS, columns_of, compile_outline
from stacserve.store.properties import Properties
from stacserve.store.tables import DIALECT, documents, geometries, item_boxes, items
from stacserve.temporal import Interval

# So many literals make a filter a long one.
_LONG = 50


class Source(enum.Enum):
    """Where candidates come from."""

    RANK = "items_rank"
    CONTAINER = "items_container"
    PARENT = "items_parent"
    IDENTITY = "items_identity"
    BOXES = "item_boxes"
    REACH = "items_reach"
    PROPERTY = "property"
    TABLE = "table"  # every row, in the order of the keys
    ANY = "any"  # SQLite chooses


@dataclass(frozen=True)
class Statement:
    """SQL text with named parameters, and the values that are always the same."""

    sql: str
    constants: Mapping[str, Any]

    def with_values(self, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return text and parameters for execution."""
        return self.sql, {**self.constants, **values}


@dataclass(frozen=True)
class Shape:
    """All that the text of a candidate statement depends on."""

    source: Source
    column: str | None = None  # of Source.PROPERTY
    boxes: int = 0  # how many boxes the R-tree is asked for
    boxes_decide: bool = False
    areas: bool = False
    labels: bool = False
    one_label: bool = False
    parent: bool = False
    ids: bool = False
    times: str = ""  # "instants", "intervals" up to :reach, or those "beyond" it
    geometry: bool = False
    outline: Any = None
    is_long: bool = False
    columns: tuple[Any, ...] = ()
    backwards: bool = False
    ranks: bool = True
    what: str = "page"  # "page", "count" or "probe"

    def tests_rows(self) -> bool:
        """Whether anything but boxes and ranks is asked of an item."""
        return any([self.labels, self.parent, self.ids, self.times, self.geometry, self.outline is not None])


class CrossJoin(sa.sql.selectable.Join):
    """A join that SQLite does not reorder (https://www.sqlite.org/optoverview.html, section 8)."""

    inherit_cache = True


@compiles(CrossJoin)
def _compile_cross_join(element: CrossJoin, compiler: Any, **kwargs: Any) -> str:
    left, right = (compiler.process(side, **{**kwargs, "asfrom": True}) for side in (element.left, element.right))
    return f"{left} CROSS JOIN {right} ON {compiler.process(element.onclause)}"


def statement_shape(
    conditions: Conditions,
    properties: Properties,
    source: Source,
    *,
    reach: int = 0,
    column: str | None = None,
    backwards: bool = False,
    what: str = "page",
) -> Shape:
    """Return the shape of the statement that takes candidates for these conditions from `source`."""
    outline = conditions.filter.outline if conditions.filter else None
    uses_boxes = source is Source.BOXES
    main = main_area(conditions) if uses_boxes else None
    return Shape(
        source=source,
        column=column,
        boxes=len(main.boxes) if main else 0,
        areas=bool(conditions.areas),
        boxes_decide=main is not None and main.is_box and len(conditions.areas) == 1,
        labels=conditions.labels is not None,
        one_label=conditions.labels is not None and len(conditions.labels) == 1,
        parent=conditions.parent is not None,
        ids=conditions.ids is not None,
        times="" if conditions.times is None else _which_times(source, reach),
        geometry=conditions.needs_geometry and not uses_boxes,
        outline=outline,
        is_long=conditions.filter is not None and len(conditions.filter.values) > _LONG,
        columns=columns_of(outline, properties) if outline is not None else (),
        backwards=backwards,
        what=what,
    )


def _which_times(source: Source, reach: int) -> str:
    if source is Source.REACH:
        return "beyond"
    return "intervals" if reach else "instants"


def main_area(conditions: Conditions) -> Any:
    """Return the spatial condition that the R-tree is asked for: the smallest."""
    return min(conditions.areas, key=lambda area: area.size())


def condition_values(conditions: Conditions, reach: int) -> dict[str, Any]:
    """Return the parameters of the statements for these conditions, ranks and limit excepted."""
    values: dict[str, Any] = {"reach": reach}
    if conditions.labels is not None:
        values["label"] = conditions.labels[0] if conditions.labels else None
        values["labels"] = orjson.dumps(conditions.labels).decode()
    if conditions.ids is not None:
        values["ids"] = orjson.dumps(conditions.ids).decode()
    if conditions.parent is not None:
        values["parent"] = conditions.parent
    if conditions.times is not None:
        values.update(_time_values(conditions.times))
    if conditions.filter is not None:
        values.update(CONSTANTS)
        values.update(conditions.filter.parameters)
    if conditions.areas:
        for number, box in enumerate(main_area(conditions).boxes):
            values.update(_box_values(number, box))
    return values


def _time_values(times: Interval) -> dict[str, Any]:
    start = -(2**62) if times.start is None else times.start
    return {"t0": start, "t1": 2**62 if times.end is None else times.end}


def _box_values(number: int, box: BBox) -> dict[str, float]:
    return {f"w{number}": box.west, f"s{number}": box.south, f"e{number}": box.east, f"n{number}": box.north}


def candidate_statement(shape: Shape) -> Statement:
    """Return the statement of a shape: rows (key, rank, doubt) for a page, or a count.

    Parameters: those of `condition_values`, `low` and `high` (ranks, exclusive), and `most` (rows).
    A candidate is in doubt when only its geometry can tell whether it matches. With spatial conditions a count is
    that of the others, and a JSON list of the keys in doubt. A probe counts up to `most`.
    """
    # a long filter takes a megabyte, and is hardly asked twice
    return _make_statement(shape) if shape.is_long else _remember_statement(shape)


@functools.lru_cache(maxsize=1024)
def _remember_statement(shape: Shape) -> Statement:
    return _make_statement(shape)


def _make_statement(shape: Shape) -> Statement:
    source, doubt = _from_source(shape)
    conditions = _row_conditions(shape)
    low: Any = sa.bindparam("low")
    high: Any = sa.bindparam("high")
    # a plus sign hides the column from SQLite's planner where another index is to be used
    rank: Any = items.c.rank if source_has_rank(shape.source) else _hidden(items.c.rank)
    conditions += [rank > low, rank < high] if shape.ranks else []
    if shape.what == "count":
        counts: list[Any] = [sa.func.count()]
        if shape.areas:
            is_doubtful = doubt == sa.literal_column("1")
            doubtful = sa.func.json_group_array(items.c.key).filter(is_doubtful)
            counts = [sa.func.count().filter(doubt == sa.literal_column("0")), doubtful]
        return _compile(_hinted(sa.select(*counts).select_from(source).where(*conditions), shape))
    if shape.what == "probe":
        if shape.source is Source.BOXES:
            source, conditions = _hits(shape), []
        some: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(source).where(*conditions)
        some = some.limit(sa.bindparam("most"))
        return _compile(sa.select(sa.func.count()).select_from(_hinted(some, shape).subquery()))
    order = items.c.rank.desc() if shape.backwards else items.c.rank
    page = sa.select(items.c.key, items.c.rank, doubt).select_from(source).where(*conditions)
    return _compile(_hinted(page.order_by(order).limit(sa.bindparam("most")), shape))


def _hinted(statement: sa.Select[Any], shape: Shape) -> sa.Select[Any]:
    """Force the index of the source (https://www.sqlite.org/lang_indexedby.html)."""
    if shape.source in (Source.BOXES, Source.ANY):
        return statement
    if shape.source is Source.TABLE:
        return statement.with_hint(items, "NOT INDEXED", "sqlite")
    index = f"{shape.column}_rank" if shape.source is Source.PROPERTY else shape.source.value
    return statement.with_hint(items, f"INDEXED BY {index}", "sqlite")


def source_has_rank(source: Source) -> bool:
    """Whether the index of a source ends in the rank."""
    return source in (Source.RANK, Source.CONTAINER, Source.PARENT, Source.PROPERTY)


def _compile(statement: sa.Select[Any]) -> Statement:
    compiled = statement.compile(dialect=DIALECT)
    return Statement(str(compiled), {k: v for k, v in compiled.params.items() if v is not None})


def _hidden(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.UnaryExpression(column, operator=sa.sql.operators.custom_op("+"), type_=column.type)


def _from_source(shape: Shape) -> tuple[Any, sa.ColumnElement[Any]]:
    if shape.source is not Source.BOXES:
        return items, sa.literal_column("1")
    found = _hits(shape)
    doubt = found.c.doubt if shape.boxes_decide else sa.literal_column("1")
    return CrossJoin(found, items, items.c.key == found.c.key), doubt


def _hits(shape: Shape) -> Any:
    """Return the keys that the R-tree has in the boxes and ranks."""
    if shape.boxes == 1:
        return _box_hits(0, shape).subquery("hits")
    # an item may reach into both boxes, and be in doubt in one of them only
    each = sa.union_all(*[_box_hits(number, shape) for number in range(shape.boxes)]).subquery("each")
    doubts = [sa.func.min(each.c.doubt).label("doubt")] if shape.boxes_decide else []
    return sa.select(each.c.key, *doubts).group_by(each.c.key).subquery("hits")


def _box_hits(number: int, shape: Shape) -> sa.Select[Any]:
    """Return the R-tree rows that overlap box `number` and the ranks, with the doubt about each."""
    box = item_boxes.c
    ranks = [box.r1 >= sa.bindparam("low"), box.r0 <= sa.bindparam("high")]
    columns = [_key_of_box.label("key"), *([_doubt(number).label("doubt")] if shape.boxes_decide else [])]
    return sa.select(*columns).where(*_overlaps(number), *ranks)


_key_of_box = item_boxes.c.id.op(">>")(sa.literal_column(str(KIND_BITS)))
_kind_of_box = item_boxes.c.id.op("&")(sa.literal_column(str(2**KIND_BITS - 1)))


def _sides(number: int) -> list[sa.BindParameter[Any]]:
    return [sa.bindparam(f"{side}{number}") for side in "wsen"]


def _overlaps(number: int) -> list[Any]:
    west, south, east, north = _sides(number)
    box = item_boxes.c
    return [box.x1 >= west, box.x0 <= east, box.y1 >= south, box.y0 <= north]


def _doubt(number: int) -> sa.ColumnElement[Any]:
    """Return 0 where the boxes alone prove that the geometry meets the query box, else 1.

    The R-tree's 32-bit floats are rounded outwards, hence the margin. A geometry in one piece that spans the
    box from side to side cannot miss it: its box reaches into it, and it touches all sides of its own box.
    """
    box = item_boxes.c
    west, south, east, north = _sides(number)
    margin: Any = sa.literal_column(repr(MARGIN))
    across = sa.and_(box.x0 >= west, box.x1 <= east)
    along = sa.and_(box.y0 >= south, box.y1 <= north)
    reaches = sa.and_(
        box.x1 >= west + margin, box.x0 <= east - margin, box.y1 >= south + margin, box.y0 <= north - margin
    )
    # both rows of an item in two parts could prove it, and it would count twice
    inside = sa.and_(across, along, _kind_of_box.not_in([_kind(BoxKind.WEST_OF_TWO), _kind(BoxKind.EAST_OF_TWO)]))
    spanning = sa.or_(
        _kind_of_box == _kind(BoxKind.FILLED),
        sa.and_(_kind_of_box == _kind(BoxKind.CONNECTED), sa.or_(across, along)),
    )
    sure: Any = sa.literal_column("0")
    return sa.case((inside, sure), (sa.and_(reaches, spanning), sure), else_=sa.literal_column("1"))


def _kind(kind: BoxKind) -> sa.ColumnElement[Any]:
    return sa.literal_column(str(int(kind)))


@functools.cache
def overlap_statement() -> Statement:
    """Return the number of rows of the R-tree that overlap box 0, without a look at any of them."""
    return _compile(sa.select(sa.func.count()).where(*_overlaps(0)))


@functools.cache
def outside_statement() -> Statement:
    """Return the number of rows of the R-tree that do not overlap box 0, counted on its four sides."""
    west, south, east, north = _sides(0)
    box = item_boxes.c
    between = (box.x1 >= west, box.x0 <= east)
    sides = [(box.x1 < west,), (box.x0 > east,), (box.y1 < south, *between), (box.y0 > north, *between)]
    counts = [sa.select(sa.func.count()).where(*side).scalar_subquery() for side in sides]
    return _compile(sa.select(counts[0] + counts[1] + counts[2] + counts[3]))


@functools.cache
def border_statement() -> Statement:
    """Return as a JSON list the keys in doubt among the rows that cross a side of box 0."""
    west, south, east, north = _sides(0)
    box = item_boxes.c
    strips = (box.x0 < west, box.x1 > east, box.y0 < south, box.y1 > north)
    crossing = sa.union(*[sa.select(box.id, _doubt(0).label("doubt")).where(*_overlaps(0), strip) for strip in strips])
    found = crossing.subquery("crossing")
    kind = found.c.id.op("&")(sa.literal_column(str(2**KIND_BITS - 1)))
    key = found.c.id.op(">>")(sa.literal_column(str(KIND_BITS)))
    in_one = kind.not_in([_kind(BoxKind.WEST_OF_TWO), _kind(BoxKind.EAST_OF_TWO)])
    return _compile(sa.select(sa.func.json_group_array(key)).where(found.c.doubt == sa.literal_column("1"), in_one))


@functools.cache
def split_statement() -> Statement:
    """Return (key, x0, x1, y0, y1) of the rows of items that have two in the R-tree."""
    base = items.c.key.op("<<")(sa.literal_column(str(KIND_BITS)))
    ids = [
        sa.select(base.op("|")(_kind(kind)))
        .where(items.c.boxes == sa.literal_column("2"))
        .with_hint(items, "INDEXED BY items_split", "sqlite")
        for kind in (BoxKind.WEST_OF_TWO, BoxKind.EAST_OF_TWO)
    ]
    box = item_boxes.c
    found = sa.select(_key_of_box, box.x0, box.x1, box.y0, box.y1).where(box.id.in_(sa.union_all(*ids)))
    return _compile(found)


def _row_conditions(shape: Shape) -> list[Any]:
    found: list[Any] = []
    if shape.one_label:
        found.append(items.c.container == sa.bindparam("label"))
    elif shape.labels:
        found.append(items.c.container.in_(_members("labels")))
    if shape.ids:
        found.append(items.c.id.in_(_members("ids")))
    if shape.parent:
        found.append(items.c.parent == sa.bindparam("parent"))
    if shape.times:
        found += _time_conditions(shape.times)
    if shape.geometry:
        found.append(items.c.boxes > sa.literal_column("0"))
    if shape.source is Source.PROPERTY:
        found.append(sa.column(str(shape.column)).isnot(None))
    if shape.outline is not None:
        found.append(compile_outline(shape.outline, shape.columns))
    return found


def _time_conditions(times: str) -> list[Any]:
    """Return what tells that an item is in the interval of the search; for instants the ranks tell it already."""
    if times == "instants":
        return [items.c.reach == sa.literal_column("0")]
    reach: Any = sa.bindparam("reach")
    found = [items.c.start <= sa.bindparam("t1"), items.c.end >= sa.bindparam("t0")]
    if times == "intervals":
        return [*found, items.c.reach <= reach]
    return [*found, items.c.reach > reach, items.c.reach > sa.literal_column("0")]


def _members(name: str) -> Any:
    return sa.select(sa.func.json_each(sa.bindparam(name)).table_valued("value").c.value)


@functools.cache
def document_statement() -> Statement:
    """Return (key, path, parent, head) of the documents whose keys are in the JSON list `keys`."""
    wanted = sa.func.json_each(sa.bindparam("keys")).table_valued("value").alias("wanted")
    source = CrossJoin(wanted, documents, documents.c.key == wanted.c.value)
    columns = (documents.c.key, documents.c.path, documents.c.parent, documents.c.head)
    return _compile(sa.select(*columns).select_from(source))


@functools.cache
def geometry_statement() -> Statement:
    """Return (key, wkb) of the items whose keys are in the JSON list `keys`."""
    wanted = sa.func.json_each(sa.bindparam("keys")).table_valued("value").alias("wanted")
    source = CrossJoin(wanted, geometries, geometries.c.key == wanted.c.value)
    return _compile(sa.select(geometries.c.key, geometries.c.wkb).select_from(source))

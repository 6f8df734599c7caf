"""Which source of candidates a search uses: decided by counting, up to a cap, what each would deliver.

A source with fewer candidates than the cap is read whole and sorted. Otherwise the search walks along the
default order and stops when the page is full. The choice changes the time, never the answer.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from stacserve.store.conditions import Conditions, Term
from stacserve.store.properties import Properties
from stacserve.store.queries import Source, candidate_statement, condition_values, statement_shape

CAP = 1_000


class Plan(NamedTuple):
    """A source; `column` for Source.PROPERTY; `whole`: few candidates, read them at once."""

    source: Source
    column: str | None = None
    whole: bool = False

    def is_ordered(self, conditions: Conditions) -> bool:
        """Whether the source delivers candidates in rank order by itself, so that a limit ends the work early."""
        if self.source is Source.PROPERTY:
            return any(term.column == self.column and term.op == "=" for term in conditions.terms)
        if self.source is Source.CONTAINER:
            return conditions.labels is not None and len(conditions.labels) == 1
        return self.source in (Source.RANK, Source.PARENT)


class Choice(NamedTuple):
    """A possible plan and the conditions that its index alone answers."""

    plan: Plan
    conditions: Conditions


def choose_plan(
    connection: sqlite3.Connection, conditions: Conditions, properties: Properties, bounds: dict[str, Any]
) -> Plan:
    """Return the plan for the conditions between two ranks (`bounds`: low, high, reach)."""
    if conditions.ids is not None:
        return Plan(Source.IDENTITY, whole=True)
    counted = count_choices(connection, conditions, properties, bounds, cap=CAP)
    if not counted:
        return Plan(Source.RANK)
    fewest, plan = min(counted, key=lambda pair: pair[0])
    if fewest < CAP:
        return plan._replace(whole=True)
    if conditions.areas:
        return Plan(Source.BOXES)
    ordered = [plan for _, plan in counted if plan.is_ordered(conditions)]
    return ordered[0] if ordered else Plan(Source.RANK)


def count_choices(
    connection: sqlite3.Connection, conditions: Conditions, properties: Properties, bounds: dict[str, Any], *, cap: int
) -> list[tuple[int, Plan]]:
    """Return how many candidates each possible source would deliver, counted up to a cap."""
    return [
        (_count_capped(connection, choice, properties, {**bounds, "most": cap}), choice.plan)
        for choice in _choices(conditions)
    ]


def _choices(conditions: Conditions) -> Iterator[Choice]:
    nothing = Conditions()
    for term in sorted(conditions.terms, key=lambda term: term.op != "="):
        yield Choice(Plan(Source.PROPERTY, term.column), _only_term(conditions, term))
    if conditions.labels is not None:
        yield Choice(Plan(Source.CONTAINER), dataclasses.replace(nothing, labels=conditions.labels))
    if conditions.parent is not None:
        yield Choice(Plan(Source.PARENT), dataclasses.replace(nothing, parent=conditions.parent))
    if conditions.areas:
        yield Choice(Plan(Source.BOXES), dataclasses.replace(nothing, areas=conditions.areas))


def _only_term(conditions: Conditions, term: Term) -> Conditions:
    """Return conditions with nothing but one term of the filter, which keeps its values."""
    if conditions.filter is None:
        return Conditions()
    outline = conditions.filter.outline
    parts = outline.args if outline.op == "and" else (outline,)
    alone = next(part for part in parts if _mentions(part, term.slot))
    return Conditions(filter=dataclasses.replace(conditions.filter, outline=alone))


def _mentions(part: Any, slot: int) -> bool:
    return any(getattr(arg, "number", None) == slot for arg in getattr(part, "args", ()))


def _count_capped(
    connection: sqlite3.Connection, choice: Choice, properties: Properties, bounds: dict[str, Any]
) -> int:
    plan, conditions = choice
    shape = statement_shape(
        conditions, properties, plan.source, reach=bounds["reach"], column=plan.column, what="probe"
    )
    values = {**condition_values(conditions, bounds["reach"]), **bounds}
    count: int = connection.execute(*candidate_statement(shape).with_values(values)).fetchone()[0]
    return count

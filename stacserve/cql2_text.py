"""CQL2 text to the tree of `cql2` (OGC 21-065r2, annex B: the grammar).

One regular expression cuts the text into tokens, one method reads each level of the grammar; recursion
happens only where a parenthesis opens, and `Limits.depth` bounds it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from stacserve.cql2 import (
    DEFAULT_LIMITS,
    LITERALS,
    MISTAKEN,
    SIGNATURES,
    SPELLINGS,
    Expression,
    GeometryLiteral,
    IntervalLiteral,
    Limits,
    Operation,
    example_of,
    explain_error,
    explain_unknown,
    find_fault,
    find_fault_at_top,
    find_unstorable,
    join_conditions,
    make_bbox,
    make_instant,
    make_interval,
    make_number,
    make_property,
)
from stacserve.cql2_wkt import NUMBER, TYPES, WktError, geometry_from_wkt
from stacserve.cql2_writing import ARITHMETIC, COMPARISONS, ESCAPES, KEYWORDS, NAME, expression_to_text
from stacserve.errors import InvalidFilter

__all__ = ["expression_from_text", "expression_to_text"]

T = TypeVar("T")

_TOKEN = re.compile(
    rf"""(?:
        ({NAME})
      | (<>|<=|>=|==|!=|&&|\|\||[<>=!+\-*/%^(),])
      | ({NUMBER})
      | ('[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+')
      | ("[^"]*+(?:""[^"]*+)*+")
      | (\Z)
    )\s*+""",
    re.VERBOSE | re.DOTALL,
)
# The kinds of tokens are numbered as the groups of this expression.
_A_NAME, _A_SYMBOL, _A_NUMBER, _A_TEXT, _A_QUOTED_NAME, _THE_END = range(1, 7)
_ESCAPED = re.compile(r"''|\\(.)", re.DOTALL)
_TESTS = frozenset(["like", "in", "between", "is", "not"])
_FUNCTIONS = frozenset(op for op in SIGNATURES if "_" in op or op in ("casei", "accenti"))
_LITERALS = frozenset(["date", "timestamp", "interval", "bbox"])


def expression_from_text(text: str, limits: Limits = DEFAULT_LIMITS) -> Expression:
    """Read CQL2 text; `InvalidFilter` gives the place in characters from 0."""
    reader = _Reader(text, limits)
    if len(text) > limits.length:
        raise reader.fail(f"the filter has {len(text)} characters, {limits.length} are allowed", 0)
    unstorable = find_unstorable(text)
    if unstorable is not None:
        raise reader.fail("a NUL or half of a surrogate pair, which no item has", unstorable)
    reader.advance()
    return reader.read_filter()


class _Reader:
    """Reads one text from left to right.

    The current token is `token`, of that `kind`, from `start` to `end`; `word` is the token if it is a symbol,
    in lower case if it may be a keyword, else empty. `depth` counts open parentheses, `operations` what is built.
    """

    __slots__ = ("end", "kind", "limits", "operations", "source", "start", "token", "word")

    def __init__(self, source: str, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.start = self.kind = self.operations = 0
        self.end = len(source) - len(source.lstrip())
        self.token = self.word = ""

    def advance(self) -> None:
        """Go to the next token."""
        found = _TOKEN.match(self.source, self.end)
        if found is None:
            raise self.fail_to_cut()
        self.start = self.end
        self.end = found.end()
        self.kind = kind = found.lastindex or 0
        self.token = token = found[kind]
        self.word = token.lower() if kind == _A_NAME else token if kind == _A_SYMBOL else ""

    def fail(self, reason: str, position: int, example: Expression | None = None) -> InvalidFilter:
        """Return the error that says what is wrong where, with a right example."""
        shown = expression_to_text(example_of("<") if example is None else example)
        return InvalidFilter(explain_error(f"character {position}", reason, shown), position)

    def fail_to_cut(self) -> InvalidFilter:
        """Return the error for what is no token."""
        character = self.source[self.end]
        known = {
            "'": "a text is not closed; a quote in it is written ''",
            '"': "a name in double quotes is not closed",
            "{": "found {; CQL2 JSON needs filter-lang=cql2-json, and geometries are WKT here",
        }
        return self.fail(known.get(character, f"found {character!r}, which has no meaning here"), self.end)

    def expected(self, what: str, example: Expression | None = None) -> InvalidFilter:
        """Return the error for a current token that cannot stand where it stands."""
        found = "the end" if self.kind == _THE_END else repr(self.token[:40])
        meant = MISTAKEN.get(self.token.lower())
        if meant:
            what, example = f"{what} (write {meant.upper()})", example_of(meant)
        return self.fail(f"found {found}, expected {what}", self.start, example)

    def expect(self, symbol: str) -> None:
        """Go past a symbol that must stand here."""
        if self.word != symbol:
            raise self.expected(symbol)
        self.advance()

    def check_depth(self, depth: int) -> None:
        # one more than operations may be nested: the literals inside the deepest have parentheses too
        if depth > self.limits.nesting:
            raise self.fail(f"nested more than {self.limits.nesting} deep", self.start)

    def check_count(self, values: Sequence[Expression]) -> None:
        if len(values) > self.limits.list:
            raise self.fail(f"more than {self.limits.list} values or conditions in one list", self.start)

    def make(self, start: int, kind: str, maker: Callable[..., T], *args: Any) -> T:
        """Return what `maker` makes; its ValueError becomes an error at `start`."""
        try:
            return maker(*args)
        except ValueError as error:
            raise self.fail(str(error), start, LITERALS[kind]) from error

    def build(self, op: str, args: tuple[Expression, ...], places: Sequence[int]) -> Operation:
        """Return an operation of checked arguments, which start at `places`; it may start at one more."""
        self.operations += 1
        fault = find_fault(op, args)
        if fault:
            place = places[-1 if fault.argument is None else fault.argument]
            raise self.fail(fault.reason, place, fault.example)
        return Operation(op, args)

    def read_filter(self) -> Expression:
        start = self.start
        expression = self.read_condition(0)
        if self.kind != _THE_END:
            raise self.expected("AND, OR or the end")
        if self.operations > self.limits.nesting and _is_deeper(expression, self.limits.nesting):
            raise self.fail(f"operations are nested more than {self.limits.nesting} deep", start)
        fault = find_fault_at_top(expression)
        if fault:
            raise self.fail(fault.reason, start, fault.example)
        return expression

    # ---- conditions ----

    def read_condition(self, depth: int, listing: bool = False) -> Expression:
        """Read what AND and OR join (booleanExpression), or a value where no condition is needed.

        With `listing`, a parenthesis that opens here may be a list.
        """
        place = self.start
        term = self.read_factor(depth, listing)
        if self.word not in ("and", "or"):
            return term
        alternatives: list[Expression] = []
        starts: list[int] = []
        while True:
            starts.append(place)
            terms, places = [term], [place]
            while self.word == "and":
                self.advance()
                places.append(self.start)
                terms.append(self.read_factor(depth))
                self.check_count(terms)
            alternatives.append(self.join("and", terms, places))
            self.check_count(alternatives)
            if self.word != "or":
                return self.join("or", alternatives, starts)
            self.advance()
            place = self.start
            term = self.read_factor(depth)

    def join(self, op: str, terms: list[Expression], places: list[int]) -> Expression:
        if len(terms) == 1:
            return terms[0]
        return join_conditions(op, self.build(op, tuple(terms), places).args)

    def read_factor(self, depth: int, listing: bool = False) -> Expression:
        if self.word != "not":
            return self.read_predicate(depth, listing)
        count = 0
        while self.word == "not":
            self.advance()
            count += 1
        place = self.start
        condition = self.read_predicate(depth)
        for _ in range(count):
            condition = self.build("not", (condition,), (place,))
        return condition

    def read_predicate(self, depth: int, listing: bool = False) -> Expression:
        place = self.start
        left = self.read_arithmetic(depth, listing)
        word = self.word
        if word in COMPARISONS:
            self.advance()
            places = (place, self.start)
            return self.build(word, (left, self.read_arithmetic(depth)), places)
        if word not in _TESTS:
            return left
        if word == "is":
            return self.read_is_null(left, place)
        negated = word == "not"
        if negated:
            self.advance()
        test = self.read_test(left, place, depth)
        return self.build("not", (test,), (place,)) if negated else test

    def read_is_null(self, left: Expression, place: int) -> Operation:
        self.advance()
        negated = self.word == "not"
        if negated:
            self.advance()
        if self.word != "null":
            raise self.expected("NULL or NOT NULL", example_of("isNull"))
        self.advance()
        test = self.build("isNull", (left,), (place,))
        return self.build("not", (test,), (place,)) if negated else test

    def read_test(self, left: Expression, place: int, depth: int) -> Operation:
        """Read LIKE, BETWEEN or IN and what follows."""
        op = self.word
        if op not in ("like", "between", "in"):
            raise self.expected("LIKE, IN or BETWEEN", example_of("in"))
        self.advance()
        places = [place, self.start]
        if op == "like":
            return self.build(op, (left, self.read_pattern(depth)), places)
        if op == "in":
            if self.word != "(":
                raise self.expected("a list in parentheses", example_of("in"))
            return self.build(op, (left, self.read_list(depth)[0]), places)
        low = self.read_arithmetic(depth)
        if self.word != "and":
            raise self.expected("AND and the upper bound", example_of("between"))
        self.advance()
        places.append(self.start)
        return self.build(op, (left, low, self.read_arithmetic(depth)), places)

    def read_pattern(self, depth: int) -> Expression:
        """Read the right side of LIKE (patternExpression)."""
        if self.kind == _A_TEXT:
            pattern = _unescape(self.token, in_pattern=True)
            self.advance()
            return pattern
        op = self.word
        if op not in ("casei", "accenti"):
            raise self.expected("a text with the wildcards % and _", example_of("like"))
        self.check_depth(depth)
        place = self.start
        self.advance()
        self.expect("(")
        inner = self.read_pattern(depth + 1)
        self.expect(")")
        return self.build(op, (inner,), (place,))

    # ---- values ----

    def read_arithmetic(self, depth: int, listing: bool = False) -> Expression:
        """Read operands joined by arithmetic operators (arithmeticExpression).

        Those that bind alike group to the left; the grammar has no a ^ b ^ c, it is read like the others.
        """
        places = [self.start]
        operand = self.read_operand(depth, listing)
        if self.word not in ARITHMETIC:
            return operand
        operands = [operand]
        operators: list[str] = []
        while self.word in ARITHMETIC:
            self.fold(operands, operators, places, ARITHMETIC[self.word])
            operators.append(self.word)
            self.advance()
            places.append(self.start)
            operands.append(self.read_operand(depth))
        self.fold(operands, operators, places, 0)
        return operands[0]

    def fold(self, operands: list[Expression], operators: list[str], places: list[int], level: int) -> None:
        """Make operations of the waiting operators that bind as closely as `level` or closer."""
        while operators and ARITHMETIC[operators[-1]] >= level:
            right, place = operands.pop(), places.pop()
            operands[-1] = self.build(operators.pop(), (operands[-1], right), (places[-1], place))

    def read_operand(self, depth: int, listing: bool = False) -> Expression:
        value: Expression
        if self.kind == _A_NAME:
            return self.read_name(depth)
        if self.kind == _A_TEXT:
            value = _unescape(self.token)
        elif self.kind == _A_NUMBER:
            value = self.make_number(self.token, self.start)
        elif self.kind == _A_QUOTED_NAME:
            value = self.make(self.start, "property", make_property, self.token[1:-1].replace('""', '"'))
        elif self.word == "(":
            return self.read_group(depth, listing)
        elif self.word in ("-", "+"):
            return self.read_signed(depth)
        else:
            raise self.expected("a value or a property")
        self.advance()
        return value

    def make_number(self, text: str, place: int) -> int | float:
        number = float(text)
        if not math.isfinite(number):
            raise self.fail("a number is not finite", place)
        if not text.lstrip("+-").isdigit():
            return number
        digits = text.lstrip("+-0")
        if len(digits) > 19:
            return number
        return make_number(int(f"-{digits or 0}" if text[0] == "-" else digits or 0))

    def read_signed(self, depth: int) -> Expression:
        """Read a number with a sign, or the negative of something else: -1 times it."""
        sign, place = self.word, self.start
        self.advance()
        if self.kind == _A_NUMBER:
            number = self.make_number(sign + self.token, place)
            self.advance()
            return number
        if sign == "+":
            raise self.expected("a number after +")
        self.check_depth(depth)
        places = (place, self.start)
        operand = self.read_operand(depth + 1)
        if type(operand) is int or type(operand) is float:
            return -operand
        return self.build("*", (-1, operand), places)

    def read_group(self, depth: int, listing: bool) -> Expression:
        """Read what stands in parentheses: an expression, or a list where one may stand."""
        place = self.start
        values, _ = self.read_list(depth, listing)
        if listing and (len(values) != 1 or self.word in (",", ")")):
            return values
        if len(values) != 1:
            raise self.fail("a list stands only after IN and in functions of lists", place, example_of("in"))
        return values[0]

    def read_list(self, depth: int, listing: bool = False) -> tuple[tuple[Expression, ...], list[int]]:
        """Read values by comma in parentheses; return them and where they start."""
        self.check_depth(depth)
        self.operations += 1
        self.advance()
        values: list[Expression] = []
        places: list[int] = []
        while self.word != ")" or values:
            places.append(self.start)
            values.append(self.read_condition(depth + 1, listing))
            self.check_count(values)
            if self.word == ")":
                break
            if self.word != ",":
                raise self.expected(", or )")
            self.advance()
        self.advance()
        return tuple(values), places

    def read_name(self, depth: int) -> Expression:
        """Read what starts with a name: true or false, a function, a literal, a property."""
        name, word, place = self.token, self.word, self.start
        if word in KEYWORDS:
            return self.read_keyword()
        self.advance()
        if word in TYPES and self.word in ("(", "z", "empty"):
            return self.read_geometry(place, depth)
        if self.word == "(":
            return self.read_call(name, place, depth)
        return self.make(place, "property", make_property, name)

    def read_keyword(self) -> bool:
        word = self.word
        if word in ("true", "false"):
            self.advance()
            return word == "true"
        if word == "null":
            raise self.expected("a value; a test for null is written with IS", example_of("isNull"))
        raise self.expected("a value or a property (a property of that name is written in double quotes)")

    def read_call(self, name: str, place: int, depth: int) -> Expression:
        """Read the arguments of a function or a literal and return it."""
        word = name.lower()
        if word in _LITERALS:
            return self.make(place, word, _make_literal, word, self.read_list(depth)[0])
        op = SPELLINGS.get(word, name)
        if op not in _FUNCTIONS and name not in self.limits.functions:
            known = [*_FUNCTIONS, *_LITERALS, *TYPES.values(), *self.limits.functions]
            fault = explain_unknown(name, known)
            raise self.fail(fault.reason, place, fault.example)
        values, places = self.read_list(depth, listing=op.startswith("a_") or op not in SIGNATURES)
        return self.build(op, values, [*places, place])

    def read_geometry(self, place: int, depth: int) -> GeometryLiteral:
        """Read the well-known text that starts at `place`."""
        try:
            geometry, self.end = geometry_from_wkt(self.source, place, self.limits.nesting - depth, self.limits)
        except WktError as error:
            raise self.fail(str(error), error.position, LITERALS["type"]) from error
        self.advance()
        return geometry


def _make_literal(word: str, values: tuple[Expression, ...]) -> Expression:
    if word == "interval":
        return make_interval(values)
    if word == "bbox":
        return make_bbox(list(values))
    if len(values) != 1:
        raise ValueError(f"{word.upper()} takes one text, found {len(values)} values")
    return make_instant(values[0], word)


def _unescape(token: str, in_pattern: bool = False) -> str:
    r"""Return what a text in quotes means; in a pattern `\\`, `\%` and `\_` are left for LIKE."""
    text = token[1:-1]
    if "'" not in text and "\\" not in text:
        return text
    escapes = ESCAPES if in_pattern else {**ESCAPES, "\\": "\\"}
    return _ESCAPED.sub(lambda found: escapes.get(found[1], found[0]) if found[1] else "'", text)


def _is_deeper(expression: Expression, depth: int) -> bool:
    """Whether operations, lists and intervals are nested more than `depth` deep."""
    level: list[Any] = [expression]
    for _ in range(depth + 1):
        level = [part for whole in level for part in _parts_of(whole)]
        if not level:
            return False
    return True


def _parts_of(expression: Any) -> Sequence[Any]:
    if isinstance(expression, Operation):
        return expression.args
    if isinstance(expression, IntervalLiteral):
        return (expression.start, expression.end)
    return expression if isinstance(expression, tuple) else ()

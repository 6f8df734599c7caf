"""What is wrong with a document of the source: a sentence for its author, where it stands, and what to do."""

from __future__ import annotations

from typing import Any, NamedTuple

ERROR = "error"
WARNING = "warning"


class Problem(NamedTuple):
    """One thing wrong with one file.

    `pointer` is a JSON pointer (RFC 6901), empty for the whole file. With severity "error" something is not
    served, the document or what a link of it leads to; with "warning" everything is.
    """

    path: str
    pointer: str
    reason: str
    advice: str
    severity: str


class Unreadable(Exception):
    """A file cannot be read, or what it says cannot be served.

    `kind` is "missing", "outside", "special" or "denied" where the file itself is the reason, else empty.
    """

    def __init__(self, reason: str, advice: str, *, pointer: str = "", kind: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.pointer = pointer
        self.kind = kind

    def problem(self, path: str) -> Problem:
        """Return this as the error of a document."""
        return Problem(path, self.pointer, self.reason, self.advice, ERROR)


def pointer_to(*names: str | int) -> str:
    """Return the JSON pointer of a member, from the names and numbers that lead to it."""
    return "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)


def show_value(value: Any) -> str:
    """Return a JSON value for use in a sentence: short, and never a deep structure (its repr could not end)."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value if not isinstance(value, str) or len(value) <= 80 else value[:80] + "...")

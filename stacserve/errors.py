"""Every way a request or a start can fail, and the HTTP status of each.

StacserveError
├── InvalidParameter   400  a query parameter or a body member says something that cannot be
│   └── InvalidFilter  400  a CQL2 expression that does not parse, with the position
├── InvalidBody        400  the body is not the JSON object that was asked for
├── BodyTooLarge       413
├── NotFound           404  no such collection, item, catalog, file or page
├── MethodNotAllowed   405
├── Unsupported        415  a body in a media type that is not read here
├── QueryTimeout       503  a query ran longer than --query-timeout
├── Unavailable        503  the index is being built
└── StartError          -   the command line or the index file is wrong; never over HTTP
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StacserveError(Exception):
    """The root of the family; `description` is one or two sentences for a person."""

    status = 500
    code = "InternalServerError"

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


class InvalidParameter(StacserveError):
    """A parameter has a value that cannot be read; the description starts with its name."""

    status = 400
    code = "InvalidParameterValue"

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter
        self.reason = reason


class InvalidFilter(InvalidParameter):
    """A CQL2 expression cannot be read; `position` counts characters from 0, or is None."""

    def __init__(self, reason: str, position: int | None = None, parameter: str = "filter") -> None:
        super().__init__(parameter, reason)
        self.position = position


class InvalidBody(StacserveError):
    """The request body is not a JSON object."""

    status = 400
    code = "InvalidBody"


class BodyTooLarge(StacserveError):
    """The request body is longer than the setting `max_body` allows."""

    status = 413
    code = "BodyTooLarge"


class NotFound(StacserveError):
    """What the address names does not exist."""

    status = 404
    code = "NotFound"


class MethodNotAllowed(StacserveError):
    """The address exists, but not for this method."""

    status = 405
    code = "MethodNotAllowed"


class Unsupported(StacserveError):
    """The body comes in a media type that is not read here."""

    status = 415
    code = "UnsupportedMediaType"


class QueryTimeout(StacserveError):
    """A query was stopped because it ran too long."""

    status = 503
    code = "QueryTimeout"


class Unavailable(StacserveError):
    """The index is being built and cannot answer yet."""

    status = 503
    code = "Unavailable"


class StartError(StacserveError):
    """Something at the door is wrong: the source, the index file, the port."""

    code = "StartError"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean X?" for the nearest known name, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""

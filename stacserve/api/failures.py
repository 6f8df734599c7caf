"""Errors as responses, all in one shape (STAC API, `commons.yaml`)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stacserve.api.cors import preflight_headers
from stacserve.api.links import base_url
from stacserve.errors import MethodNotAllowed, NotFound, StacserveError, did_you_mean
from stacserve.stac import JSON

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnswerUnforeseen:
    """Middleware, the innermost: logs an error of ours with its trace, and answers 500 without it."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as long as nothing has been sent; otherwise the server closes the connection."""
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception:  # a bug of ours must not show its trace, nor leave the client without an answer
            if started or scope["type"] != "http":
                raise
            logger.exception("%s %s failed", scope["method"], scope["path"])
            error = StacserveError("this should not have happened; the log of the server says more")
            await error_response(error)(scope, receive, send)


def error_response(error: StacserveError, headers: dict[str, str] | None = None) -> Response:
    """Return an error in the one shape that all have (STAC API, `commons.yaml`)."""
    description = error.description.encode(errors="replace").decode()  # a lone surrogate is no JSON
    body = orjson.dumps({"code": error.code, "description": description})
    return Response(body, error.status, headers, JSON)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer what went wrong on purpose."""
    assert isinstance(error, StacserveError)
    return error_response(error)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router found wrong: no such address, or not this method; and OPTIONS, which is no route."""
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return error_response(_no_such_address(request))
    allowed = sorted({"OPTIONS", *(error.headers or {}).get("Allow", "").split(", ")} - {""})
    headers = {"Allow": ", ".join(allowed)}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={**headers, **preflight_headers(headers["Allow"])})
    return error_response(MethodNotAllowed(f"{request.method} is not answered here, {headers['Allow']} are"), headers)


def _no_such_address(request: Request) -> NotFound:
    path = request.scope["path"].removeprefix(request.scope["root_path"])
    known = [route.path for route in request.app.routes if "{" not in route.path]
    hint = did_you_mean(path, known)
    return NotFound(f"there is nothing at {path[:100]!r}.{hint} Start at {base_url(request.scope)}/")


ERROR_HANDLERS = {StacserveError: answer_error, HTTPException: answer_http_error}

"""Cross-origin requests: everything served may be read by any page."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Content-Range, ETag, Link, Location"),
]
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Headers": "Accept, Accept-Language, Authorization, Content-Type, If-None-Match, Range",
    "Access-Control-Max-Age": "86400",
}


@dataclass(frozen=True)
class AllowAnyOrigin:
    """Middleware: says on every answer, errors included, that pages of any origin may read it.

    The preflight request is an OPTIONS like any other, with `preflight_headers` in its answer.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the two headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self.app(scope, receive, send_allowed)


def preflight_headers(methods: str) -> dict[str, str]:
    """Return what a browser wants to know before it sends a request that is not a simple one."""
    return {"Access-Control-Allow-Methods": methods, **_PREFLIGHT_HEADERS}

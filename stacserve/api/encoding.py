"""Gzip for clients that ask for it: fast rather than small, and beside the event loop where it takes long."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

try:
    from isal.isal_zlib import compress
except ImportError:  # there is no wheel for this machine
    from zlib import compress

BYTES_MIN = 1_000  # below, headers weigh as much
BYTES_THREAD = 64_000
LEVEL = 1
GZIP_WINDOW = zlib.MAX_WBITS + 16  # asks for the header and trailer of gzip


@dataclass(frozen=True)
class Gzip:
    """Middleware: compresses JSON and text that is sent in one piece.

    What can be asked for in ranges is left alone, since a range counts the bytes of the file.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the start of an answer back until its body is known."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = accepts_gzip(b",".join([value for name, value in scope["headers"] if name == b"accept-encoding"]))
        held: list[Message] = []

        async def send_encoded(message: Message) -> None:
            if message["type"] == "http.response.start":
                held.append(message)
                return
            if held:
                start = held.pop()
                message = await _encode(start, message, wanted)
                await send(start)
            await send(message)

        await self.app(scope, receive, send_encoded)


def accepts_gzip(header: bytes) -> bool:
    """Return whether an Accept-Encoding header wants gzip, rather than nothing (RFC 9110, section 12.5.3)."""
    header = header.lower()
    if b"gzip" not in header and b"*" not in header:
        return False
    weights = dict(map(_weight, header.split(b",")))
    gzip = weights.get(b"gzip", weights.get(b"*", 0.0))
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


def _weight(part: bytes) -> tuple[bytes, float]:
    name, *parameters = part.split(b";")
    pairs = (parameter.partition(b"=") for parameter in parameters)
    weight = next((value for key, _, value in pairs if key.strip() == b"q"), b"1")
    try:
        return name.strip(), float(weight)
    except ValueError:
        return name.strip(), 0.0


async def _encode(start: Message, message: Message, wanted: bool) -> Message:
    """Return the body message compressed, with the headers of `start` changed to match, or as it is."""
    body: bytes = message.get("body", b"")
    if message.get("more_body") or not _is_text(start["headers"]):
        return message
    headers = [*start["headers"], (b"vary", b"Accept-Encoding")]
    if wanted and len(body) >= BYTES_MIN:
        if len(body) > BYTES_THREAD:
            body = await asyncio.to_thread(compress, body, LEVEL, GZIP_WINDOW)
        else:
            body = compress(body, LEVEL, GZIP_WINDOW)
        headers = [header for header in headers if header[0] != b"content-length"]
        headers += [(b"content-length", b"%d" % len(body)), (b"content-encoding", b"gzip")]
    start["headers"] = headers
    return {**message, "body": body}


def _is_text(headers: list[tuple[bytes, bytes]]) -> bool:
    found = dict(headers)
    if b"accept-ranges" in found or b"content-encoding" in found:
        return False
    media_type = found.get(b"content-type", b"").partition(b";")[0]
    return media_type.endswith(b"json") or media_type.startswith(b"text/")

"""Asset files: what documents of the catalog name, and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse

from stacserve.api.messages import read_known, store_of
from stacserve.errors import NotFound

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+[ -~]*", re.ASCII)
# One or more of `first-last`, `first-` and `-length` (RFC 9110, section 14.1.1), in numbers of any file.
_RANGE = r"(?:[0-9]{1,18}-(?:[0-9]{1,18})?|-[0-9]{1,18})"
_RANGES = re.compile(rf"bytes=[ \t,]*{_RANGE}(?:[ \t]*,[ \t,]*{_RANGE})*[ \t,]*", re.IGNORECASE)
_FIRST_AND_LAST = re.compile(r"([0-9]+)-([0-9]+)")
# An SVG or HTML file of somebody's catalog must not run scripts as this server.
_SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


async def get_asset(request: Request) -> FileResponse:
    """GET and HEAD /assets/{path}: a file below the catalog root that a document names as an asset."""
    read_known(request)
    path = request.path_params["path"]
    if not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise NotFound(f"no file is named {path[:100]!r}: write its path without empty segments and dots")
    asset = await (await store_of(request)).find_asset(path)
    found = await asyncio.to_thread(_stat_file, asset.path)
    if found is None:
        raise NotFound(f"the file {path!r} is named by a document, but cannot be read")
    declared = asset.media_type if asset.media_type and _MEDIA_TYPE.fullmatch(asset.media_type) else None
    headers = _SAFE if declared is None else {**_SAFE, "Content-Type": declared}
    _drop_invalid_range(request)
    return FileResponse(asset.path, headers=headers, stat_result=found)


def _drop_invalid_range(request: Request) -> None:
    """Take a Range header that cannot be read away: then the whole file is asked for (RFC 9110, section 14.2)."""
    given = request.headers.getlist("range")
    if given and not (len(given) == 1 and _is_valid_range(given[0])):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]


def _is_valid_range(text: str) -> bool:
    if not _RANGES.fullmatch(text):
        return False
    return all(int(first) <= int(last) for first, last in _FIRST_AND_LAST.findall(text))


def _stat_file(path: Path) -> os.stat_result | None:
    """Return the status of a regular file that can be read, or None."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK) else None

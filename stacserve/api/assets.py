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
# An SVG or HTML file of somebody's catalog must not run scripts as this server.
_SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}


async def get_asset(request: Request) -> FileResponse:
    """GET and HEAD /assets/{path}: a file below the catalog root that a document names as an asset."""
    read_known(request)
    path = request.path_params["path"]
    asset = await (await store_of(request)).find_asset(path)
    found = await asyncio.to_thread(_stat_file, asset.path)
    if found is None:
        raise NotFound(f"the file {path!r} is named by a document, but cannot be read")
    declared = asset.media_type if asset.media_type and _MEDIA_TYPE.fullmatch(asset.media_type) else None
    headers = _SAFE if declared is None else {**_SAFE, "Content-Type": declared}
    return FileResponse(asset.path, headers=headers, stat_result=found)


def _stat_file(path: Path) -> os.stat_result | None:
    """Return the status of a regular file that can be read, or None."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK) else None

"""stacserve: a static STAC catalog as a STAC API.

The public names are loaded when they are first used (PEP 562), so that `import stacserve` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Settings", "__version__", "create_app", "ingest_catalog"]

_HOMES = {
    "Settings": "stacserve.settings",
    "create_app": "stacserve.app",
    "ingest_catalog": "stacserve.ingest",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'stacserve' has no attribute {name!r}")

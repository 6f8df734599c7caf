"""Make the sample catalogs: `python sample_catalogs/make.py [FOLDER]`.

The same bytes come out on every machine and in every run; without FOLDER they replace the catalogs beside
this file.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from making.alps import build_alps
from making.documents import Node, tree_files
from making.drone import build_drone
from making.pacific import build_pacific

CATALOGS: dict[str, Callable[[], Node]] = {"alps": build_alps, "pacific": build_pacific, "drone": build_drone}


def write_catalogs(folder: Path) -> None:
    """Write all catalogs below a folder, in place of what was there under their names."""
    for name, build in CATALOGS.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        files = tree_files(build())
        for path, data in files.items():
            target = folder / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        print(f"{name}: {len(files)} files, {sum(map(len, files.values())) // 1000} kB")


if __name__ == "__main__":
    write_catalogs(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

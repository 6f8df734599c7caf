"""The folder of a source: which of its files may be read, where an href leads, and reading.

A document path is a POSIX path relative to the root folder, such as `2024/a/item.json`. Files of the n-th
folder that `--allow` names are `+n/...`; should a folder of the root itself be called `+1`, it is `+0/+1`.
The folder part of a path is real (no symbolic link in it), so that one file has one path and a folder that
links to itself does not go on forever; the last name may be that of a link.

Nothing outside of these folders is ever opened: real paths are compared, those of folders once each.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from stacserve.problems import Unreadable

DOCUMENT_BYTES_MAX = 256 * 2**20
RACY_NS = 2_000_000_000
DIRECTORIES_MAX = 20_000

# What can be joined to a folder as it is: no `..`, nothing encoded, nothing that would have to be.
match_plain_path = re.compile(r"(?:\./)*+((?:[\w~=-][\w.~=-]*+/)*+[\w~=-][\w.~=-]*+)", re.ASCII).fullmatch

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_AREA = re.compile(r"\+\d+(?:/|$)", re.ASCII)
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Stamp(NamedTuple):
    """What tells whether a file has changed; `mtime_ns` is -1 where it was read too soon after a change to tell."""

    mtime_ns: int
    size: int
    inode: int


class Target(NamedTuple):
    """Where an href leads.

    `kind` is "file", "missing" (inside, but not there), "special" (a folder, pipe or device), "outside" (a local
    file that must not be read) or "web" (any other URL); `path` is the document path for the first three.
    """

    kind: str
    path: str


class _Directory(NamedTuple):
    """What a folder of document paths really is."""

    real: str  # absolute, ends in a slash
    prefix: str  # of the document paths in it: empty, or ends in a slash


class Folder:
    """A root folder and the folders allowed beside it.

    `published` is the URL, or the path on another machine, under which the root was written: hrefs that start
    with it mean files of the root. What folders really are is remembered, so each ingest makes its own Folder.
    """

    def __init__(self, root: str, allow: Sequence[str] = (), published: str = "") -> None:
        self.root = os.path.abspath(root)
        self.allow = tuple(os.path.abspath(folder) for folder in allow)
        self.published = published
        given = (self.root, *self.allow)
        reals = [_posix(os.path.realpath(folder)).rstrip("/") for folder in given]
        # for each area its real path and the one by which hrefs may know it
        self._areas = list(zip(reals, [_posix(folder).rstrip("/") for folder in given], strict=True))
        self._starts = {f"+{number}": _Directory(real + "/", f"+{number}/") for number, real in enumerate(reals)}
        self._starts["+0"] = self._starts[""] = _Directory(reals[0] + "/", "")
        self._directories = dict(self._starts)

    def __reduce__(self) -> tuple[Any, ...]:
        return Folder, (self.root, self.allow, self.published)

    def read(self, path: str) -> tuple[bytes, Stamp]:
        """Return what a file holds, and its stamp; raise Unreadable."""
        file = self._find(path)[0]
        try:
            descriptor = os.open(file, _OPEN_FLAGS)
            try:
                info = os.fstat(descriptor)
                now = time.time_ns()
                data = _read_all(descriptor, info)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unreadable(error) from error
        stamp = _stamp(info)
        return data, stamp if now - info.st_mtime_ns > RACY_NS else stamp._replace(mtime_ns=-1)

    def stamp(self, path: str) -> Stamp | None:
        """Return the stamp of a file as it is now, or None where no file can be read."""
        try:
            return _stamp(self._find(path)[1])
        except Unreadable:
            return None

    def locate(self, path: str) -> str:
        """Return the absolute path of a regular file inside, links followed; raise Unreadable."""
        return self._find(path)[0]

    def resolve(self, href: str, base: str, *, exists: bool = True) -> Target:
        """Return where an href of the document at `base` leads.

        Names may be written as they are or percent-encoded: the first spelling that is there is taken. Without
        `exists` only hrefs of several spellings are looked up, and whatever lies inside is a "file".
        """
        if href[:1] in ("", "#", "?"):
            return Target("file", base)
        plain = match_plain_path(href)
        if plain:
            return self._first_found([self._base_directory(base).prefix + plain[1]], exists)
        scheme = _SCHEME.match(href)
        is_web = scheme[1].lower() != "file" if scheme else href.startswith("//")
        if self.published and href.startswith(self.published):
            target = self._resolve_local("./" + href[len(self.published) :], "", exists or is_web)
            if target.kind == "file" or not is_web:
                return target
        return Target("web", "") if is_web else self._resolve_local(href, base, exists)

    def _resolve_local(self, href: str, base: str, exists: bool) -> Target:
        """Resolve a path or file URL."""
        href = _path_of_url(href)
        if "\0" in href:
            return Target("missing", "")
        if href.startswith("\\\\") or (os.sep == "/" and _DRIVE.match(href)):
            return Target("outside", "")
        here = self._base_directory(base).real
        places = [self._place(os.path.normpath(os.path.join(here, spelling))) for spelling in _spellings(href)]
        inside = list(dict.fromkeys(place for place in places if place is not None))
        leads_outside = places[-1] is None
        target = self._first_found(inside, exists or len(places) > 1) if inside else Target("outside", "")
        return Target("outside", "") if leads_outside and target.kind != "file" else target

    def _base_directory(self, base: str) -> _Directory:
        folder = base.rpartition("/")[0]
        try:
            return self._directories.get(folder) or self._directory(folder)
        except (OSError, Unreadable):
            return _Directory(f"{self._areas[0][0]}/{folder}/", folder + "/" if folder else "")

    def _first_found(self, paths: Sequence[str], exists: bool) -> Target:
        target = Target("file", paths[-1])
        for path in paths if exists else ():
            target = self._probe(path)
            if target.kind != "missing":
                break
        return target

    def _probe(self, path: str) -> Target:
        folder, _, name = path.rpartition("/")
        try:
            self._find(path)
            return Target("file", self._directories[folder].prefix + name)
        except Unreadable as error:
            # a file that is there but cannot be read says why when it is read
            return Target("file" if error.kind == "denied" else error.kind, path)

    def _find(self, path: str) -> tuple[str, os.stat_result]:
        """Return the absolute path of a regular file and its status, never those of anything outside."""
        folder, _, name = path.rpartition("/")
        try:
            directory = self._directories.get(folder) or self._directory(folder)
            file = directory.real + name
            info = os.lstat(file)
            if stat.S_ISLNK(info.st_mode):
                file = os.path.realpath(file)
                if self._place_lexically(_posix(file)) is None:
                    raise _outside()
                info = os.lstat(file)
        except (OSError, ValueError) as error:
            raise _unreadable(error) from error
        if not stat.S_ISREG(info.st_mode):
            raise _special(info.st_mode)
        return file, info

    def _directory(self, folder: str) -> _Directory:
        """Return what a folder of document paths really is; raise Unreadable outside, OSError where there is none."""
        unknown: list[tuple[str, str]] = []
        rest = folder
        while (known := self._directories.get(rest)) is None:
            parent, _, name = rest.rpartition("/")
            unknown.append((rest, name))
            rest = parent
        if len(self._directories) + len(unknown) > DIRECTORIES_MAX:
            self._directories = dict(self._starts)
        for path, name in reversed(unknown):
            known = self._directories[path] = self._enter(known, name)
        return known

    def _enter(self, parent: _Directory, name: str) -> _Directory:
        if name in ("", ".", ".."):
            raise _outside()
        if not stat.S_ISLNK(os.lstat(parent.real + name).st_mode):
            escape = "+0/" if not parent.prefix and _AREA.match(name) else ""
            return _Directory(f"{parent.real}{name}/", f"{escape}{parent.prefix}{name}/")
        place = self._place_lexically(_posix(os.path.realpath(parent.real + name, strict=True)))
        if place is None or not is_text(place):
            raise _outside()
        return self._directory(place)

    def _place(self, absolute: str) -> str | None:
        """Return the document path of an absolute path without `..`, or None if it lies outside."""
        place = self._place_lexically(_posix(absolute))
        if place is None:
            folder, name = os.path.split(absolute)
            place = self._place_lexically(_posix(os.path.join(os.path.realpath(folder), name)))
        return place if place is None or is_text(place) else None

    def _place_lexically(self, absolute: str) -> str | None:
        for number, area in enumerate(self._areas):
            for base in area:
                if absolute == base or absolute.startswith(base + "/"):
                    relative = absolute[len(base) + 1 :]
                    has_area = number > 0 or _AREA.match(relative)
                    return f"+{number}/{relative}".rstrip("/") if has_area else relative
        return None


def published_prefix(href: str) -> str:
    """Return the URL or absolute path of the folder where a root document says it was published, or ""."""
    return "" if is_relative(href) else href[: max(href.rfind("/"), href.rfind("\\")) + 1]


def is_relative(href: str) -> bool:
    """Whether an href is relative to its document, and so says nothing about the machine it was written on."""
    return not (href.startswith(("/", "\\")) or _SCHEME.match(href) or _DRIVE.match(href))


def _path_of_url(href: str) -> str:
    """Return the path in a file URL (RFC 8089), still encoded; of another machine, a path that is outside."""
    if href[:5].lower() != "file:":
        return href
    if not href.startswith("//", 5):
        return href[5:]
    host, _, path = href[7:].partition("/")
    return "/" + path if host in ("", "localhost") else "\\\\" + host


def _spellings(href: str) -> list[str]:
    """Return what an href may mean as a file name: itself, with slashes, without query and fragment, decoded."""
    slashed = href.replace("\\", "/")
    stripped = re.split("[?#]", slashed, maxsplit=1)[0]
    try:
        decoded = unquote(stripped, errors="strict").replace("\0", "%00")
    except UnicodeDecodeError:
        decoded = stripped
    return list(dict.fromkeys([href, slashed, stripped, decoded]))


def _posix(path: str) -> str:
    return path.replace(os.sep, "/")


def is_text(path: str) -> bool:
    """Whether a path is text, and not bytes of some other encoding (PEP 383), which nothing could store or link."""
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


def _stamp(info: os.stat_result) -> Stamp:
    # some network file systems number files beyond what SQLite's integers hold
    return Stamp(info.st_mtime_ns, info.st_size, info.st_ino & 0x7FFF_FFFF_FFFF_FFFF)


def _read_all(descriptor: int, info: os.stat_result) -> bytes:
    if not stat.S_ISREG(info.st_mode):
        raise _special(info.st_mode)
    if info.st_size > DOCUMENT_BYTES_MAX:
        raise Unreadable(f"the file has {info.st_size} bytes", f"split it; at most {DOCUMENT_BYTES_MAX} bytes are read")
    data = os.read(descriptor, info.st_size + 1)
    while len(data) < info.st_size and (more := os.read(descriptor, info.st_size - len(data))):
        data += more
    return data


def _unreadable(error: OSError | ValueError) -> Unreadable:
    if isinstance(error, (FileNotFoundError, NotADirectoryError, ValueError)):
        return Unreadable("there is no such file", "correct the link, or restore the file", kind="missing")
    reason = f"the file cannot be read: {error.strerror}"
    return Unreadable(reason, "make it readable for the user that runs the server", kind="denied")


def _outside() -> Unreadable:
    advice = "move it into the folder, or admit the folder it is in with --allow"
    return Unreadable("the file is outside of the catalog's folder", advice, kind="outside")


def _special(mode: int) -> Unreadable:
    what = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
    return Unreadable(f"this is {what}, not a file", "link to a file", kind="special")

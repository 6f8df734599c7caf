"""Where a request was sent to, as its client wrote it: behind proxies, below prefixes, mounted in another app.

The outermost middleware finds it out once; `links.base_url` tells everybody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from stacserve.api.failures import error_response
from stacserve.api.links import BASE_URL
from stacserve.errors import InvalidParameter, StartError
from stacserve.settings import Settings

_WANTED = frozenset(
    [b"host", b"forwarded"] + [b"x-forwarded-" + name for name in (b"for", b"proto", b"host", b"port", b"prefix")]
)
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PREFIX = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})+)*/?")
_PUBLIC_URL = re.compile(f"https?://{_HOST.pattern}(?P<path>{_PREFIX.pattern})", re.IGNORECASE)
# One pair of a Forwarded header and what follows it (RFC 7239, section 4).
_PAIR = re.compile(r'\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*([;,]|$)')
_PORTS = {"http": "80", "https": "443"}
PORT_MAX = 65_535
_EVERY_HOP = 1_000
_PATH_CHARACTERS = "/%!$&'()*+,;=:@~"
_FILES = "/assets/"


class Trusted:
    """The proxies whose word is taken: addresses and networks, or `*` for every peer."""

    def __init__(self, addresses: str) -> None:
        names = [name.strip() for name in addresses.split(",") if name.strip()]
        self.everybody = "*" in names
        self._networks = [_read_network(name) for name in names if name != "*"]

    def includes(self, address: str) -> bool:
        """Return whether a peer is one of these proxies."""
        if self.everybody:
            return True
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        return any((mapped or found) in network for network in self._networks)

    def count_hops(self, nodes: Sequence[str]) -> int:
        """Return how many of the last entries trusted proxies have written.

        The last is our peer's word; the one before it counts only if the peer it names is trusted too.
        """
        if self.everybody:
            return _EVERY_HOP
        hops = 1
        for node in reversed(nodes):
            if not self.includes(_node_address(node)):
                break
            hops += 1
        return hops


class AddressRules(NamedTuple):
    """What the settings say about addresses: a public URL wins over everything that a request says."""

    trusted: Trusted
    root_path: str
    public_url: str


class _Said(NamedTuple):
    """What trusted proxies say of the address that the client used; None is not a word."""

    scheme: str | None = None
    host: str | None = None
    port: str | None = None
    prefix: str = ""


@dataclass(frozen=True)
class PublicAddress:
    """Middleware: leaves the base URL in the scope, and the path as routes are matched with it.

    That path is the raw one, percent-encoded: an encoded slash in an id is no separator. A prefix is taken off if it
    is there, since some proxies strip it and some do not; so is a slash at the end, unless a file is asked for. It
    must be outermost: everything after it believes what it says.
    """

    app: ASGIApp
    rules: AddressRules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its address, or refuse a Host that is none."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        mount: str = scope.get("root_path", "")
        try:
            base, root, prefix = self._find_address(scope, mount)
        except InvalidParameter as error:
            await error_response(error)(scope, receive, send)
            return
        path = _path_below(scope, [root, mount, prefix]) if root else _raw_path(scope)
        root_path = quote(root, safe=_PATH_CHARACTERS)
        below = path if path.startswith(_FILES) else path.removesuffix("/") or "/"
        await self.app({**scope, BASE_URL: base, "root_path": root_path, "path": root_path + below}, receive, send)

    def _find_address(self, scope: Scope, mount: str) -> tuple[str, str, str]:
        """Return the base URL, the whole prefix of our paths, and the part of it that proxies added."""
        if self.rules.public_url:
            return self.rules.public_url, _joined_prefix(self.rules.root_path, mount), self.rules.root_path
        headers = _wanted_headers(scope["headers"])
        client = scope.get("client") or ("",)
        said = _Said()
        if len(headers) > (b"host" in headers) and self.rules.trusted.includes(client[0]):
            said = self._listen(headers)
        scheme = said.scheme or scope.get("scheme", "http")
        prefix = self.rules.root_path or said.prefix
        root = _joined_prefix(prefix, mount)
        base = f"{scheme}://{_client_host(scope, headers, said, scheme)}"
        return base + quote(root, safe=_PATH_CHARACTERS), root, prefix

    def _listen(self, headers: Mapping[bytes, str]) -> _Said:
        """Read the headers of a trusted peer: Forwarded first, then X-Forwarded-*."""
        elements = _read_forwarded(headers.get(b"forwarded", ""))
        elements = elements[-self.rules.trusted.count_hops([element.get("for", "") for element in elements]) :]
        hops = self.rules.trusted.count_hops(_values(headers.get(b"x-forwarded-for", "")))

        def said(name: str) -> str | None:
            values = _values(headers.get(b"x-forwarded-" + name.encode(), ""))[-hops:]
            return next((element[name] for element in elements if name in element), values[0] if values else None)

        scheme, host, port = (said("proto") or "").lower(), said("host"), said("port")
        prefixes = _values(headers.get(b"x-forwarded-prefix", ""))[-hops:]
        return _Said(
            scheme=scheme if scheme in _PORTS else None,
            host=host,
            port=port if port and _PORT.fullmatch(port) and int(port) <= PORT_MAX else None,
            prefix=_read_prefix("".join(prefix.removesuffix("/") for prefix in prefixes)) or "",
        )


def address_rules(settings: Settings) -> AddressRules:
    """Return what the settings say; StartError names a bad one."""
    path = _check_public_url(settings.public_url) if settings.public_url else ""
    return AddressRules(
        trusted=Trusted(settings.forwarded_allow_ips),
        root_path=_clean_prefix(settings.root_path) or path,
        public_url=settings.public_url.removesuffix("/"),
    )


def _check_public_url(url: str) -> str:
    """Return the path of a base URL, decoded."""
    found = _PUBLIC_URL.fullmatch(url)
    path = _read_prefix(found["path"]) if found and int(found[2] or 0) <= PORT_MAX else None
    if path is None:
        shown = repr(url if len(url) <= 200 else url[:200] + "...")
        raise StartError(f"--public-url {shown} is no base URL, percent-encoded; write https://example.org/stac")
    return path


def _read_network(name: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(name, strict=False)
    except ValueError:
        raise StartError(f"--forwarded-allow-ips: {name!r} is no address and no network; write 10.0.0.0/8") from None


def _wanted_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    wanted: dict[bytes, str] = {}
    for name, value in headers:
        if name in _WANTED:
            text = value.decode("latin-1")
            wanted[name] = f"{wanted[name]},{text}" if name in wanted else text
    return wanted


def _values(text: str) -> list[str]:
    return [value.strip() for value in text.split(",") if value.strip()]


def _read_forwarded(text: str) -> list[dict[str, str]]:
    """Return the elements of a Forwarded header, the first proxy's first; none if it cannot be read."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(text):
        found = _PAIR.match(text, position)
        if not found:
            return []
        name, quoted, plain, end = found.groups()
        elements[-1][name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if end == ",":
            elements.append({})
        position = found.end()
    return elements


def _node_address(node: str) -> str:
    """Return the address of `192.0.2.43:47011`, `[2001:db8::1]:4711` or a bare one."""
    if node.startswith("["):
        return node[1:].partition("]")[0]
    return node.partition(":")[0] if node.count(":") == 1 else node


def _client_host(scope: Scope, headers: Mapping[bytes, str], said: _Said, scheme: str) -> str:
    """Return host and port as the client wrote them."""
    text = said.host or headers.get(b"host")
    if text is None:  # HTTP/1.0
        name, port = scope.get("server") or ("localhost", None)
        text = f"{name}:{port}" if port else name
    found = _HOST.fullmatch(text)
    if not found or int(found[2] or 0) > PORT_MAX:
        raise InvalidParameter("Host header", f"{text[:60]!r} is no host; write example.org or example.org:8000")
    return text if said.port is None else _with_port(found, said.port, scheme, forwarded=said.host is not None)


def _with_port(host: re.Match[str], port: str, scheme: str, *, forwarded: bool) -> str:
    """Return the host with the port that X-Forwarded-Port says, unless a forwarded host names its own."""
    if forwarded and host[2]:
        return host[0]
    if port == _PORTS.get(scheme):
        return host[1]
    # 80 for https is the port between the proxies, not the client's
    return host[0] if port in _PORTS.values() else f"{host[1]}:{port}"


def _clean_prefix(text: str) -> str:
    """Return a path prefix decoded, with a slash before and none behind; nothing for the root."""
    path = unquote(text).strip("/")
    return f"/{path}" if path else ""


def _read_prefix(text: str) -> str | None:
    """Return a percent-encoded path prefix as `_clean_prefix` does, or None if it could lead elsewhere."""
    try:
        path = unquote(text, errors="strict").removesuffix("/")
    except UnicodeDecodeError:
        return None
    odd = any(segment in ("", ".", "..") for segment in path.split("/")[1:])
    return path if _PREFIX.fullmatch(text) and path.isprintable() and not odd else None


def _joined_prefix(prefix: str, mount: str) -> str:
    """Return what a proxy and an outer app took of the path; neither knows whether the other counted it too."""
    if mount == prefix or mount.startswith(prefix + "/"):
        return mount
    return prefix if prefix.endswith(mount) else prefix + mount


def _raw_path(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    if raw is None:  # a server need not give it
        return quote(scope["path"], errors="replace")
    return raw.decode("ascii") if raw.isascii() else quote(raw, safe=_PATH_CHARACTERS)


def _path_below(scope: Scope, prefixes: Iterable[str]) -> str:
    """Return the raw path without the first of these prefixes that it begins with."""
    path, raw = scope["path"], _raw_path(scope)
    for prefix in prefixes:
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            return "/" + "/".join(raw.split("/")[prefix.count("/") + 1 :])
    return raw

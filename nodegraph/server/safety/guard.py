"""Who may ask, and in which form: one middleware in front of every route.

* Host: the names this server is known by, so that a foreign name that resolves to this machine (DNS rebinding) gets nothing.
* Origin, on every method and on websocket upgrades: a page of this server, or one that the owner allowed. `null` is nobody.
* Sec-Fetch-Site: browsers tell of requests that other sites caused; only opening the first page that way is fine.
* Token, if there is one: `Authorization: Bearer`, or the cookie that opening `/?token=...` once sets. Compared in constant time.
* Content type: a page of another site can send texts and forms without asking first, but no JSON.
* Body: size and time are bounded before a handler sees it.

Every fault is answered in JSON, without tracebacks and without paths of this machine's disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import web

from nodegraph.errors import (
    FileMissing,
    ModelNotFound,
    NodegraphError,
    NotAPicture,
    NotJson,
    ReadFailed,
    TooLarge,
    UnsafePath,
    WriteFailed,
    shorten,
)
from nodegraph.server.http_errors import AlreadyThere, BadRequest, NoToken, RequestRefused, StorageFull, TooSlow, WrongContentType
from nodegraph.server.queue.errors import Conflict, QueueFull, UnknownJob
from nodegraph.server.safety.body import in_time
from nodegraph.server.safety.redaction import REDACTOR
from nodegraph.server.setup.config import ServeSettings, is_loopback

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
H = TypeVar("H", bound=Callable[..., Any])

LOG: Final = logging.getLogger("nodegraph.server")
SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
LOOPBACK_NAMES: Final = frozenset(("localhost", "127.0.0.1", "[::1]"))
HOME: Final = Path(__file__).parent.parent / "home"
COOKIE_SECONDS: Final = 30 * 24 * 3600

STATUS: Final[Mapping[type[NodegraphError], int]] = {
    FileMissing: 404,
    ModelNotFound: 404,
    NotAPicture: 415,
    NotJson: 400,
    ReadFailed: 404,
    TooLarge: 413,
    UnsafePath: 403,
    WriteFailed: 507,
    RequestRefused: 403,
    NoToken: 401,
    WrongContentType: 415,
    BadRequest: 400,
    AlreadyThere: 409,
    StorageFull: 507,
    TooSlow: 408,
    Conflict: 409,
    UnknownJob: 404,
    QueueFull: 503,
}
"""for the rest: 400, or the class's own attribute `status`"""

HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "Vary": "Origin, Sec-Fetch-Site, Sec-Fetch-Dest",
}
"""on every answer that does not say otherwise"""

SHELL_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
"""for the editor's pages: nothing inline, nothing from elsewhere"""


# ------------------------------------------------------------------------------------------------ what routes declare


def accepts(*types: str, streams: bool = False, own_page: Sequence[str] = ()) -> Callable[[H], H]:
    """Mark a handler of a method with a body.

    types: of its body, `*` for any; own_page: more of them, if the browser says that a page of this server sends it
    streams: it reads the body itself, piece by piece
    """

    def mark(handler: H) -> H:
        handler.__dict__.update(accepted_types=types, streams_body=streams, own_page_types=own_page)
        return handler

    return mark


def _accepted(request: web.Request) -> tuple[str, ...]:
    found: tuple[str, ...] = getattr(request.match_info.handler, "accepted_types", ("application/json",))
    return found


# ------------------------------------------------------------------------------------------------ checks


class Guard:
    """The checks, for one server."""

    def __init__(self, settings: ServeSettings) -> None:
        self.token = settings.token
        self.cookie = f"nodegraph-{_digest('name', settings.token)[:8]}" if settings.token else ""
        self.cookie_value = _digest("session", settings.token) if settings.token else ""
        self.dev = settings.dev
        self.body_seconds = settings.limits.body_seconds
        self.body_bytes = settings.limits.body
        self.origins = frozenset(settings.allow_origins)
        names = {*LOOPBACK_NAMES, *(_bracketed(name) for name in settings.allow_hosts)}
        if not is_loopback(settings.host):
            own = socket.gethostname().lower()
            names |= {own, f"{own}.local", _bracketed(settings.host.lower())} - {"", "0.0.0.0", "[::]"}
        self.hosts = frozenset(names)

    def check(self, request: web.Request) -> None:
        """Raises the fault of a request that may not be answered."""
        self.check_host(request)
        self.check_origin(request)
        self.check_token(request)
        self.check_form(request)

    def check_host(self, request: web.Request) -> None:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            raise RequestRefused("a request must have one Host header")
        name = host_name(hosts[0])
        if name is None or not (name in self.hosts or name == _own_address(request)):
            raise RequestRefused(
                f"this server is not known as {shorten(hosts[0])}",
                hint="use the address it printed at start, or start it with --allow-host NAME",
            )

    def check_origin(self, request: web.Request) -> None:
        """Browsers send Origin with everything that is not a plain read of their own page, and say for all what caused it."""
        headers = request.headers
        origins = headers.getall("Origin", [])
        for origin in origins:
            if len(origins) > 1 or not self.allows_origin(origin, headers["Host"]):
                raise RequestRefused(
                    f"pages from {shorten(origin)} may not use this server", hint="start it with --allow-origin ORIGIN to allow one"
                )
        site = headers.get("Sec-Fetch-Site", "none").strip().lower()
        if not origins and site not in ("none", "same-origin") and not _opens_first_page(request):
            raise RequestRefused("another site caused this request", hint="open the address of this server yourself")

    def allows_origin(self, origin: str, host: str) -> bool:
        given = origin.strip().lower()
        scheme, separator, rest = given.partition("://")
        if not separator or scheme not in ("http", "https") or given == "null":
            return False
        if given in self.origins or rest == host.strip().lower():
            return True
        return self.dev and host_name(rest) in LOOPBACK_NAMES

    def check_token(self, request: web.Request) -> None:
        if self.token is None or self.has_token(request):
            return
        raise NoToken("this server wants its token", hint="send `Authorization: Bearer TOKEN`, or open /?token=TOKEN in the browser once")

    def has_token(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), self.token or ""):
            return True
        if _same(request.cookies.get(self.cookie, ""), self.cookie_value):
            return True
        return self.token_in_address(request)

    def token_in_address(self, request: web.Request) -> bool:
        """Only on the first page, which then sets the cookie: addresses end up in histories and logs."""
        first = request.method == "GET" and request.path == "/"
        return self.token is not None and first and _same(request.query.get("token", ""), self.token)

    def remember(self, request: web.Request, response: web.Response) -> web.Response:
        """Let this browser in from now on. What it keeps is not the token, and scripts cannot read it."""
        secure = request.scheme == "https"
        response.set_cookie(
            self.cookie, self.cookie_value, max_age=COOKIE_SECONDS, path="/", httponly=True, samesite="Strict", secure=secure
        )
        return response

    def check_form(self, request: web.Request) -> None:
        headers = request.headers
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise WrongContentType("compressed bodies are not taken", hint="send the body as it is")
        if request.method in SAFE_METHODS or not request.can_read_body:
            return
        accepted = _accepted(request)
        if "*" in accepted or (request.content_type.lower() in accepted and "Content-Type" in headers):
            return
        if "application/json" in accepted and _is_plain_program(request):
            return
        if "Origin" in headers and request.content_type.lower() in getattr(request.match_info.handler, "own_page_types", ()):
            return  # that origin was checked above
        raise WrongContentType(
            f"this route does not take {shorten(headers.get('Content-Type', 'a body without a type'))}",
            hint=f"send Content-Type: {accepted[0]}",
        )

    async def read_body(self, request: web.Request) -> None:
        """Take in the whole body, in bounded size and time; handlers find it at once. Not for handlers that read it in pieces."""
        length = request.content_length
        if getattr(request.match_info.handler, "streams_body", False):
            return
        if length is not None and length > self.body_bytes:
            raise _too_large(self.body_bytes)
        if request.can_read_body:
            try:
                await in_time(request.read(), self.body_seconds)
            except web.HTTPRequestEntityTooLarge as error:
                raise _too_large(self.body_bytes) from error


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a request's body may have at most {limit} bytes", hint="start the server with --limit body=SIZE for more")


def _digest(purpose: str, token: str | None) -> str:
    return hmac.new((token or "").encode(), f"nodegraph {purpose}".encode(), hashlib.sha256).hexdigest()


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), right.encode())


def host_name(host: str) -> str | None:
    """The name in a Host header without its port, IPv6 in brackets; None for a malformed one. A trailing dot is not taken off."""
    text = host.strip().lower()
    if text.startswith("["):
        name, bracket, port = text.partition("]")
        name += bracket
    else:
        name, colon, port = text.partition(":")
        port = colon + port
    if port and not (port[0] == ":" and port[1:].isascii() and port[1:].isdigit()):
        return None
    return name or None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _own_address(request: web.Request) -> str | None:
    """The address at which this connection arrived: no name is involved, so nobody can have made it point here."""
    transport = request.transport
    name = transport.get_extra_info("sockname") if transport is not None else None
    if not isinstance(name, tuple):
        return None
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return _bracketed(str(mapped or address))


def _opens_first_page(request: web.Request) -> bool:
    """Somebody followed a link to this server: harmless, as that changes nothing and the other site does not see the page."""
    fetch = {name: request.headers.get(f"Sec-Fetch-{name}", "").strip().lower() for name in ("Mode", "Dest")}
    return request.method == "GET" and request.path == "/" and fetch == {"Mode": "navigate", "Dest": "document"}


def _opens_page(request: web.Request) -> bool:
    return request.method == "GET" and request.path == "/" and "text/html" in request.headers.get("Accept", "")


def _is_plain_program(request: web.Request) -> bool:
    """Programs that cannot be a browser made to send this: nothing of what browsers add, and no type, or the one urllib always adds.

    Many scripts for ComfyUI send their JSON so. A page of another site can neither drop its Origin nor change its User-Agent unasked.
    """
    headers = request.headers
    if any(name in headers for name in ("Origin", "Referer", "Cookie", "Sec-Fetch-Site", "Sec-Fetch-Mode")):
        return False
    if "Content-Type" not in headers:
        return True
    form = request.content_type.lower() == "application/x-www-form-urlencoded"
    return form and headers.get("User-Agent", "").startswith("Python-urllib/")


# ------------------------------------------------------------------------------------------------ the middleware


def middleware(keeper: Guard) -> Any:
    """The guard and the form of all faults, as aiohttp's middleware."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            keeper.check(request)
            await keeper.read_body(request)
            return await handler(request)
        except web.HTTPException as error:
            return http_fault(request, error)
        except NoToken as error:
            return locked(request) if _opens_page(request) else fault(request, error)
        except NodegraphError as error:
            return fault(request, error)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler does, the client gets an answer and the owner a record
            return unexpected(request, error)

    return guarded


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer just before it is sent."""
    for name, value in HEADERS.items():
        if name not in response.headers:
            response.headers[name] = value
    response.headers["Server"] = "nodegraph"


def status_of(error: NodegraphError) -> int:
    own = getattr(error, "status", None)
    if isinstance(own, int):
        return own
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 400)


def fault(request: web.Request, error: NodegraphError, status: int | None = None) -> web.Response:
    """A known fault: what, why and the way out, without paths of the disk."""
    status = status or status_of(error)
    body = request.app[REDACTOR].value(error.to_json())
    LOG.log(logging.WARNING if status >= 500 else logging.INFO, "%s %s: %s %s", request.method, request.path, status, error.message)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status in (408, 413):
        headers["Connection"] = "close"
    return web.json_response({"error": body}, status=status, headers=headers, dumps=_dumps)


def locked(request: web.Request) -> web.Response:
    """For a person instead of a program."""
    text = (HOME / "locked.html").read_text(encoding="utf-8")
    return web.Response(status=401, text=text, content_type="text/html", headers={"WWW-Authenticate": "Bearer"})


def http_fault(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    """aiohttp's own faults (no such route, wrong method) in JSON; redirects and answers that are JSON already stay as they are."""
    if error.status < 400 or error.content_type == "application/json":
        return _as_response(error)
    names = {404: "NotFound", 405: "MethodNotAllowed", 413: "TooLarge"}
    message = {404: "there is nothing at this address", 405: f"this address does not take {request.method}"}.get(error.status, error.reason)
    body = {"code": "E600", "error": names.get(error.status, "HttpError"), "message": message}
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return web.json_response({"error": body}, status=error.status, headers=kept, dumps=_dumps)


def _as_response(error: web.HTTPException) -> web.Response:
    headers = {name: value for name, value in error.headers.items() if name not in ("Content-Type", "Content-Length")}
    return web.Response(status=error.status, body=error.body, headers=headers, content_type=error.content_type)


def unexpected(request: web.Request, error: Exception) -> web.Response:
    """A mistake of ours: the record has the traceback, the client a plain word."""
    LOG.error("%s %s failed", request.method, request.path, exc_info=error)
    body = {"code": "E699", "error": "InternalError", "message": "the server made a mistake; its log says more"}
    return web.json_response({"error": body}, status=500, dumps=_dumps)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)

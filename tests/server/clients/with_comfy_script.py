"""Use the server through ComfyScript, which makes a Python library of its nodes. Arguments: address, checkpoint."""

from __future__ import annotations

import base64
import io
import json
import sys
from typing import Any

from comfy_script import runtime

address, checkpoint = sys.argv[1:]
names: dict[str, Any] = {}
runtime.load(f"{address}/", vars=names)
runtime.queue.watch_display(False)


def picture(seed: int) -> Any:
    model, clip, vae = names["CheckpointLoaderSimple"](checkpoint)
    latent = names["KSampler"](
        model,
        seed=seed,
        steps=3,
        cfg=2,
        sampler_name=names["Samplers"].euler,
        scheduler=names["Schedulers"].normal,
        positive=names["CLIPTextEncode"]("a fox", clip),
        negative=names["CLIPTextEncode"]("", clip),
        latent_image=names["EmptyLatentImage"](32, 32, 1),
    )
    return names["SaveImage"](names["VAEDecode"](latent, vae), "script")


def encoded(image: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


steps: list[tuple[str, int, int]] = []
with runtime.Workflow() as workflow:
    saved = picture(1)
workflow.task.add_progress_callback(lambda step: steps.append((step.node_id, step.value, step.max)))
images = workflow.task.wait_result(saved).wait()
workflow.task.wait()  # it takes tasks that are queued between a result and the end of its run for lost, with any server
again = picture(2).wait().wait()
print(
    json.dumps(
        {
            "nodes": len(runtime.node.nodes),
            "samplers": [sampler.value for sampler in names["Samplers"]],
            "checkpoints": [entry.value for entry in names["Checkpoints"]],
            "documented": names["KSampler"].info["display_name"],
            "images": [encoded(image) for image in [*images, *again]],
            "steps": steps,
        }
    )
)

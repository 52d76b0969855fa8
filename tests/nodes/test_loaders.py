"""Models whose parts lie in files of their own, and what is said of a file that holds something else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nodegraph.diffusion import Conditioning, Image, Model
from nodegraph.diffusion.handles import TextEncoder, WeightsRef
from nodegraph.diffusion.models.clip_config import ClipTextConfig
from nodegraph.diffusion.models.clip_text import ClipText
from nodegraph.diffusion.store import WeightStore
from nodegraph.diffusion.weights import save_weights
from nodegraph.engine import Engine
from nodegraph.errors import InputRefused, NodegraphError, PickleRefused, UnknownModel
from nodegraph.settings import Settings
from tests.diffusion.tiny import METADATA, tiny_parts

UNET, VAE, CLIP = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
Nodes = Mapping[str, tuple[str, Mapping[str, Any]]]


def write(path: Path, parts: Mapping[str, torch.nn.Module], **facts: str) -> None:
    """parts: by the prefix of their keys"""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {prefix + key: value.half().contiguous() for prefix, part in parts.items() for key, value in part.state_dict().items()}
    save_weights(path, tensors, {**METADATA, **facts})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same small networks as one checkpoint and each in a file of its own, in public layouts."""
    folder, parts = tmp_path_factory.mktemp("models"), tiny_parts()
    write(folder / "checkpoints" / "all.safetensors", parts)
    write(folder / "diffusion_models" / "bare.safetensors", {"": parts[UNET]})
    write(folder / "diffusion_models" / "prefixed.safetensors", {UNET: parts[UNET]})
    write(folder / "diffusion_models" / "flow.safetensors", {"": parts[UNET]}, **{"modelspec.prediction_type": "flow"})
    write(folder / "diffusion_models" / "vae.safetensors", {"": parts[VAE]})
    write(folder / "vae" / "bare.safetensors", {"": parts[VAE]})
    write(folder / "vae" / "unet.safetensors", {"": parts[UNET]})
    write(folder / "text_encoders" / "clip.safetensors", {"": parts[CLIP]})
    with torch.random.fork_rng():
        torch.manual_seed(5)
        wide = ClipText(ClipTextConfig(width=48, layers=3, heads=2, intermediate=64, projection=40))
    write(folder / "text_encoders" / "wide.safetensors", {"": wide})
    save_weights(folder / "text_encoders" / "t5.safetensors", {"encoder.block.0.layer.0.SelfAttention.q.weight": torch.zeros(2, 2)}, {})
    torch.save({"a": torch.zeros(1)}, folder / "vae" / "pickle.safetensors")
    return folder


@pytest.fixture
def engine(models: Path, tmp_path: Path) -> Engine:
    return Engine(Settings(tmp_path / "in", tmp_path / "out", tmp_path / "temp", (models,), device="cpu"))


def value(engine: Engine, nodes: Nodes) -> Any:
    """The only output of the node `last`. A text `@id.output` is a link."""

    def given(item: Any) -> Any:
        return {"link": item[1:].split(".")} if isinstance(item, str) and item.startswith("@") else item

    data = {id: {"type": type_, "inputs": {name: given(item) for name, item in inputs.items()}} for id, (type_, inputs) in nodes.items()}
    result = engine.run({"nodegraph": 1, "nodes": data}, targets=["last"])
    if result.error is not None:
        raise result.error
    (found,) = result.outputs["last"].values()
    return found


def picture(engine: Engine, loaders: Nodes, model: str, clip: str, vae: str) -> Any:
    prompts = {"positive": "@text.conditioning", "negative": "@text.conditioning"}
    nodes = {
        **loaders,
        "text": ("CLIPEncode", {"clip": clip, "text": "a red fox", "syntax": "comfyui"}),
        "empty": ("EmptyLatent", {"width": 64, "height": 64}),
        "sample": ("KSampler", {"model": model, "latent": "@empty.latent", "steps": 2, **prompts}),
        "last": ("VAEDecode", {"latent": "@sample.latent", "vae": vae}),
    }
    found = value(engine, nodes)
    assert isinstance(found, Image)
    return found.data


def whole_picture(engine: Engine) -> Any:
    return picture(engine, {"load": ("LoadCheckpoint", {"file": "all.safetensors"})}, "@load.model", "@load.clip", "@load.vae")


@pytest.mark.parametrize("unet", ["bare", "prefixed"])
def test_parts_from_files_of_their_own_make_the_picture_of_the_whole(engine: Engine, unet: str) -> None:
    alone = {
        "unet": ("LoadDiffusionModel", {"file": f"{unet}.safetensors"}),
        "clip": ("LoadTextEncoder", {"file": "clip.safetensors"}),
        "vae": ("LoadVAE", {"file": "bare.safetensors"}),
    }
    assert np.array_equal(picture(engine, alone, "@unet.model", "@clip.clip", "@vae.vae"), whole_picture(engine))


def test_a_saved_workflow_of_comfyui_with_three_loaders_runs(engine: Engine) -> None:
    prompt = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "bare.safetensors", "weight_dtype": "default"}},
        "2": {"class_type": "CLIPLoader", "inputs": {"clip_name": "clip.safetensors", "type": "stable_diffusion", "device": "default"}},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "bare.safetensors"}},
        "4": {"class_type": "ModelSamplingDiscrete", "inputs": {"model": ["1", 0], "sampling": "v_prediction", "zsnr": False}},
        "5": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 0], "text": "a red fox"}},
        "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "7": {"class_type": "KSampler", "inputs": {
            "model": ["4", 0], "positive": ["5", 0], "negative": ["5", 0], "latent_image": ["6", 0], "seed": 0, "steps": 2, "cfg": 7.0,
            "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["3", 0]}},
    }  # fmt: skip
    result = engine.run(prompt, targets=["8"])
    assert result.status == "done"
    assert np.array_equal(result.outputs["8"]["image"].data, whole_picture(engine)), "this file says itself that it predicts v"


def test_two_encoders_are_read_side_by_side_whichever_comes_first(engine: Engine) -> None:
    def encoded(first: str, second: str) -> Conditioning:
        loader = ("LoadDualTextEncoder", {"first": f"{first}.safetensors", "second": f"{second}.safetensors"})
        found: Conditioning = value(engine, {"load": loader, "last": ("CLIPEncode", {"clip": "@load.clip", "text": "a red fox"})})
        return found

    (entry,), (other,) = encoded("clip", "wide").entries, encoded("wide", "clip").entries
    assert entry.context.shape == (1, 77, 32 + 48)
    assert entry.pooled is not None
    assert entry.pooled.shape == (1, 40), "the vector of the wider one"
    assert np.array_equal(entry.context, other.context)


def test_a_skipped_layer_keeps_the_other_encoder(engine: Engine) -> None:
    loader = ("LoadDualTextEncoder", {"first": "clip.safetensors", "second": "wide.safetensors"})
    skipped = value(engine, {"load": loader, "last": ("CLIPSkip", {"clip": "@load.clip", "stop_at": -1})})
    assert isinstance(skipped, TextEncoder)
    with WeightStore().lease(skipped) as text:
        assert (len(text.nets), text.layer) == (2, -1)


@pytest.mark.parametrize(
    ("node", "file", "error", "says"),
    [
        ("LoadDiffusionModel", "vae.safetensors", UnknownModel, "holds a VAE, and no denoising network.*LoadVAE"),
        ("LoadVAE", "unet.safetensors", UnknownModel, "holds a denoising network, and no VAE.*LoadDiffusionModel"),
        ("LoadTextEncoder", "t5.safetensors", UnknownModel, "holds a T5 text encoder"),
        ("LoadVAE", "pickle.safetensors", PickleRefused, "pickle"),
    ],
)
def test_a_file_that_holds_something_else_is_named_for_what_it_is(
    engine: Engine, node: str, file: str, error: type[NodegraphError], says: str
) -> None:
    with pytest.raises(error) as caught:
        value(engine, {"last": (node, {"file": file})})
    assert re.search(says, f"{caught.value.message} {caught.value.hint}")


@pytest.mark.parametrize(("prediction", "zero"), [("eps", False), ("x0", True)])
def test_what_a_network_predicts_can_be_said(engine: Engine, prediction: str, zero: bool) -> None:
    load, given = ("LoadDiffusionModel", {"file": "bare.safetensors"}), {"prediction": prediction, "zero_terminal_snr": zero}
    changed = value(engine, {"load": load, "last": ("SetPrediction", {"model": "@load.model", **given})})
    store = WeightStore()
    with store.lease(changed) as net, store.lease(Model(changed.weights)) as before:
        assert net.net is before.net, "the weights are shared"
        assert (net.sampling.prediction.kind, net.sampling.schedule.zero_terminal_snr) == (prediction, zero)
        assert before.sampling.prediction.kind == "v"


def test_a_flow_can_be_shifted_and_nothing_else(engine: Engine, models: Path) -> None:
    shift = ("SetFlowShift", {"model": "@load.model", "shift": 3.0})
    shifted = value(engine, {"load": ("LoadDiffusionModel", {"file": "flow.safetensors"}), "last": shift})
    assert shifted.weights == WeightsRef.of(models / "diffusion_models" / "flow.safetensors")
    with WeightStore().lease(shifted) as net:
        assert net.sampling.prediction.kind == "flow"
        assert net.sampling.schedule.percent_to_sigma(0.5) == pytest.approx(0.75)
    with pytest.raises(InputRefused, match="predicts v, not a flow"):
        value(engine, {"load": ("LoadDiffusionModel", {"file": "bare.safetensors"}), "last": shift})

"""A 20-step demo picture (128 px, guidance, decoded) with our modules and with those of diffusers: same weights, threads, dtype, solver.

    python tests/bench/against_diffusers.py [--repeats 9] [--checkpoint FILE]

The loop around the networks is ours in both cases, so the ratio compares the networks and what the engine adds around them.
Runs alternate, and the ratio is taken pair by pair.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "diffusion"))

import oracle

from nodegraph.context import Context
from nodegraph.diffusion.guidance import NetCall
from nodegraph.diffusion.handles import Model, TextEncoder, Vae, WeightsRef
from nodegraph.diffusion.sampling import sample
from nodegraph.diffusion.store import WeightStore
from nodegraph.diffusion.tensors import prompts
from nodegraph.diffusion.values import Latent
from nodegraph.events import ignore
from nodegraph.files import Files
from nodegraph.registry import builtin_folder

SETTINGS: dict[str, Any] = {"seed": 1, "steps": 20, "cfg": 4.0, "sampler": "dpmpp_2m", "schedule": "karras"}


class Pair:
    """The same checkpoint twice: in our modules, and in those of diffusers."""

    def __init__(self, path: Path) -> None:
        self.store = WeightStore()
        ref = WeightsRef.of(path)
        self.model, self.vae, self.clip = Model(ref), Vae(ref), TextEncoder(ref)
        with self.store.lease(self.clip) as text:
            self.positive, self.negative = text.encode("fox, 3d style"), text.encode("")
        with self.store.lease(self.model) as net, self.store.lease(self.vae) as vae:
            self.unet_twin, self.vae_twin = oracle.unet_twin(net.net, net.net.config), oracle.vae_twin(vae.net, vae.net.config)

    def latent(self) -> Latent:
        import numpy as np

        return Latent(np.zeros((1, 4, 16, 16), np.float32))

    def ours(self, context: Context) -> torch.Tensor:
        """What the nodes KSampler and VAEDecode do."""
        with self.store.lease(self.model) as net:
            run = sample(net, net.sampling, net.latent_in(self.latent()), prompts(self.positive), prompts(self.negative), **SETTINGS)
            last = None
            for last in context.track(run, len(run)):  # noqa: B007 - the last step is the result
                pass
            latent = self.latent().with_data(net.latent_out(run.finish(last)))
        with self.store.lease(self.vae) as vae:
            return torch.tensor(vae.decode(latent).data)

    @torch.inference_mode()
    def theirs(self) -> torch.Tensor:
        with self.store.lease(self.model) as net:
            sampling, scale = net.sampling, net.info.scale_factor

        def twin(call: NetCall) -> torch.Tensor:
            out: torch.Tensor = self.unet_twin(call.x, call.t, encoder_hidden_states=call.context).sample
            return out

        run = sample(twin, sampling, torch.zeros(1, 4, 16, 16), prompts(self.positive), prompts(self.negative), **SETTINGS)
        last = None
        for last in run:  # noqa: B007 - the last step is the result
            pass
        picture = self.vae_twin.decode(run.finish(last) / scale).sample
        return ((picture + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--checkpoint", type=Path, default=builtin_folder("models") / "checkpoints" / "tiny-emoji.safetensors")
    options = parser.parse_args()
    pair = Pair(options.checkpoint)
    here = Path()
    context = Context("bench", files=Files(here, here, here), emit=ignore, cancelled=threading.Event())
    difference = (pair.ours(context) - pair.theirs()).abs().max()
    print(f"threads {torch.get_num_threads()}, float32, largest difference of a pixel {difference:.2e}")
    rows = []
    for _ in range(options.repeats):
        begin = time.perf_counter()
        pair.ours(context)
        middle = time.perf_counter()
        pair.theirs()
        rows.append((middle - begin, time.perf_counter() - middle))
    mine, other = (median(column) for column in zip(*rows, strict=True))
    print(f"ours {mine:.3f} s, diffusers {other:.3f} s, ratio {median(a / b for a, b in rows):.3f} (budget 1.05)")


if __name__ == "__main__":
    main()

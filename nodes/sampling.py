"""The sampler node."""

from __future__ import annotations

from typing import Annotated, Literal

from nodegraph import Context, Each, Number, Seed, Slider, node
from nodegraph.diffusion import Conditioning, Latent, Model

SamplerName = Literal[
    "euler",
    "euler_ancestral",
    "heun",
    "heunpp2",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "ddpm",
    "lcm",
    "ipndm",
    "deis",
    "res_multistep",
    "res_multistep_ancestral",
    "gradient_estimation",
    "er_sde",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
]
ScheduleName = Literal["normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta", "linear_quadratic", "kl_optimal"]


@node("KSampler", category="sampling")
def ksampler(
    ctx: Context,
    model: Model,
    positive: Each[Conditioning],
    negative: Each[Conditioning],
    latent: Each[Latent],
    seed: Each[Seed] = 0,
    steps: Each[Annotated[int, Slider(1, 1000)]] = 20,
    cfg: Each[Annotated[float, Slider(0, 30, step=0.1)]] = 7.0,
    sampler: Each[SamplerName] = "euler",
    scheduler: Each[ScheduleName] = "normal",
    denoise: Each[Annotated[float, Slider(0, 1, step=0.01)]] = 1.0,
    eta: Each[Annotated[float, Number(0, 1, step=0.05)] | None] = None,
    variation_seed: Each[Seed] = 0,
    variation_strength: Each[Annotated[float, Slider(0, 1, step=0.01)]] = 0.0,
) -> Latent:
    """Denoise a latent step by step, led by two prompts.

    positive: what the picture should show
    negative: what it should not show; takes the place of the unconditional branch
    latent: `EmptyLatent` to begin from nothing, an encoded picture to change it
    seed: the same seed gives the same noise on every device
    steps: how many; more is slower and, up to a point, better
    cfg: guidance scale s in uncond + s * (cond - uncond) (Ho & Salimans 2022, s = 1 + w); 1 leaves the negative prompt out
    sampler: the solver; dpmpp_2m needs the fewest steps, names with "ancestral" or "sde" add noise on the way
    scheduler: how the steps are spread over the noise levels
    denoise: 1 begins from pure noise; less keeps more of the latent that came in
    eta: share of noise that samplers with such an option add on the way; of `ddim` 0 is DDIM, 1 is DDPM (Song et al. 2020, eq. 16).
        Empty takes the sampler's own
    variation_seed: another seed, for pictures that resemble that of `seed`
    variation_strength: how far the noise is led from `seed` to `variation_seed`: 0 not at all, 0.2 changes details, 1 is the other picture
    """
    from nodegraph.diffusion.noise import Variation
    from nodegraph.diffusion.sampling import sample
    from nodegraph.diffusion.tensors import prompts, to_tensor

    with ctx.load(model) as net:
        net.require_context(positive, "positive")
        net.require_context(negative, "negative")
        run = sample(
            net,
            net.sampling,
            net.latent_in(latent),
            prompts(positive, net.device),
            prompts(negative, net.device),
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            schedule=scheduler,
            denoise=denoise,
            mask=None if latent.mask is None else to_tensor(latent.mask, net.device),
            batch_index=latent.batch_index,
            variation=Variation(variation_seed, variation_strength),
            options={"eta": eta} if eta is not None else None,
        )
        last = None
        for last in ctx.track(run, len(run), preview=lambda step: net.preview(step.x0)):  # noqa: B007 - the last step is the result
            pass
        return latent.with_data(net.latent_out(run.finish(last)))

"""Weights as resources: shared, budgeted, patched only for the time of a lease."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import METADATA, tiny_parts, write_tiny_checkpoint

from nodegraph.diffusion.entries import Prompt
from nodegraph.diffusion.guidance import NetCall
from nodegraph.diffusion.handles import Model, Patch, TextEncoder, Vae, WeightsRef
from nodegraph.diffusion.loaded import LoadedModel
from nodegraph.diffusion.models.attention import AttnCall, Proceed
from nodegraph.diffusion.store import WeightStore
from nodegraph.diffusion.values import Conditioning, Image, Latent
from nodegraph.diffusion.weights import save_weights
from nodegraph.errors import InputRefused, MissingPart, ModelMismatch


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> WeightsRef:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_tiny_checkpoint(path)
    return WeightsRef.of(path)


def call(net: LoadedModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    prompt = Prompt(torch.randn(1, 77, 32, generator=generator))
    x = torch.randn(1, 4, 8, 8, generator=generator)
    return net(NetCall(x, torch.tensor([500.0]), prompt.context, None, ("cond",), (prompt,), torch.tensor([3.0])))


def test_two_handles_to_one_file_share_its_weights(checkpoint: WeightsRef) -> None:
    store = WeightStore()
    with store.lease(Model(checkpoint)) as a, store.lease(Model(checkpoint).patched()) as b:
        assert a.net is b.net
    assert len(store.residents) == 1


def test_parts_come_one_by_one(checkpoint: WeightsRef) -> None:
    store = WeightStore()
    with store.lease(TextEncoder(checkpoint)) as text:
        conditioning = text.encode("a red fox")
    assert conditioning.entries[0].context.shape == (1, 77, 32)
    assert [part for _, part in store.residents] == ["clip"]


def test_a_patch_is_there_only_during_its_lease_even_after_an_error(checkpoint: WeightsRef) -> None:
    store, seen = WeightStore(), []

    def double(call: AttnCall, proceed: Proceed) -> torch.Tensor:
        seen.append(call.layer)
        return proceed(call) * 2

    model = Model(checkpoint)
    patched = model.patched(Patch("attention", double))
    with store.lease(model) as net:
        before = call(net)
    with store.lease(patched) as net:
        changed = call(net)
    with pytest.raises(RuntimeError, match="in the middle"), store.lease(patched):
        raise RuntimeError("in the middle")
    count = len(seen)
    with store.lease(model) as net:
        after = call(net)
    assert torch.equal(before, after)
    assert not torch.equal(before, changed)
    assert count == len(seen) > 0
    assert model.patches == ()


def test_an_unknown_kind_of_patch_is_refused(checkpoint: WeightsRef) -> None:
    with pytest.raises(ModelMismatch, match="kind 'magic'"), WeightStore().lease(Model(checkpoint).patched(Patch("magic", None))):
        pass


def test_the_budget_holds_between_leases_and_the_longest_unused_goes_first(checkpoint: WeightsRef) -> None:
    store = WeightStore()
    for handle in (Model(checkpoint), Vae(checkpoint), TextEncoder(checkpoint)):
        with store.lease(handle):
            pass
    sizes = {part: resident.nbytes for (_, part), resident in store.residents.items()}
    store.budget = sizes["clip"] + sizes["vae"]
    with store.lease(TextEncoder(checkpoint)):
        pass
    assert [part for _, part in store.residents] == ["vae", "clip"]
    assert store.used_bytes() <= store.budget


def test_what_is_in_use_is_never_given_up(checkpoint: WeightsRef) -> None:
    store = WeightStore(budget=1)
    with store.lease(Model(checkpoint)) as net, store.lease(Vae(checkpoint)):
        assert len(store.residents) == 2
        assert torch.isfinite(call(net)).all()
    assert store.used_bytes() == 0


def test_free_gives_back_what_is_idle(checkpoint: WeightsRef) -> None:
    store = WeightStore()
    with store.lease(Vae(checkpoint)), store.lease(TextEncoder(checkpoint)):
        pass
    assert store.free() > 0
    assert store.report() == "nothing"


def test_a_part_that_is_not_in_the_file_is_named_with_what_is(tmp_path: Path) -> None:
    prefix, vae = list(tiny_parts().items())[1]
    tensors = {prefix + key: value.contiguous() for key, value in vae.state_dict().items()}
    save_weights(tmp_path / "vae.safetensors", tensors, METADATA)
    ref = WeightsRef.of(tmp_path / "vae.safetensors")
    with pytest.raises(MissingPart, match=r"vae\.safetensors has no text encoder; it holds: VAE"), WeightStore().lease(TextEncoder(ref)):
        pass


def test_a_picture_goes_through_the_vae_and_back_in_shape(checkpoint: WeightsRef) -> None:
    picture = Image(np.full((2, 37, 50, 3), 0.5, np.float32))
    with WeightStore().lease(Vae(checkpoint)) as vae:
        latent = vae.encode(picture)
        back = vae.decode(latent)
    assert latent.data.shape == (2, 4, 4, 6)
    assert back.data.shape == (2, 32, 48, 3)
    assert 0 <= back.data.min() <= back.data.max() <= 1


def test_a_batch_is_decoded_as_its_rows_are(checkpoint: WeightsRef) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 4, 4, 4)).astype(np.float32)
    with WeightStore().lease(Vae(checkpoint)) as vae:
        whole = vae.decode(Latent(rows.copy())).data
        single = np.concatenate([vae.decode(Latent(rows[i : i + 1].copy())).data for i in range(3)])
    assert np.array_equal(whole, single)


def test_mismatches_name_both_sides(checkpoint: WeightsRef) -> None:
    store = WeightStore()
    with store.lease(Vae(checkpoint)) as vae:
        with pytest.raises(ModelMismatch, match="16 channels, this VAE decodes 4"):
            vae.decode(Latent(np.ones((1, 16, 4, 4), np.float32)))
        with pytest.raises(InputRefused, match="4x4 is smaller"):
            vae.encode(Image(np.ones((1, 4, 4, 3), np.float32)))
    with store.lease(Model(checkpoint)) as net:
        with pytest.raises(ModelMismatch, match="16 channels, the model works with 4"):
            net.latent_in(Latent(np.ones((1, 16, 4, 4), np.float32)))
        with store.lease(TextEncoder(checkpoint)) as text:
            wide = text.encode("x").entries[0].context.repeat(2, axis=-1)
        from nodegraph.diffusion.values import Cond

        with pytest.raises(ModelMismatch, match="64 wide, the model reads 32"):
            net.require_context(Conditioning((Cond(wide),)), "positive")
    with store.lease(TextEncoder(checkpoint, -9)) as text, pytest.raises(ModelMismatch, match="layers -2 to -1"):
        text.encode("x")


def test_an_empty_latent_takes_the_channels_of_the_model(checkpoint: WeightsRef) -> None:
    with WeightStore().lease(Model(checkpoint)) as net:
        assert net.latent_in(Latent(np.zeros((1, 16, 4, 4), np.float32))).shape == (1, 4, 4, 4)


def test_latents_keep_their_scale_through_model_space(checkpoint: WeightsRef) -> None:
    rows = np.random.default_rng(0).standard_normal((1, 4, 4, 4)).astype(np.float32)
    with WeightStore().lease(Model(checkpoint)) as net:
        assert net.info.scale_factor == 0.9
        inside = net.latent_in(Latent(rows.copy()))
        assert np.allclose(inside.numpy(), rows * 0.9)
        assert np.allclose(net.latent_out(inside), rows, atol=1e-6)

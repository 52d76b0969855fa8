"""Key names of the diffusers library for U-Nets and autoencoders, in those of CompVis. No torch here.

There a level counts its own blocks; here the blocks of the whole way down or up are counted through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]

UNET_MARKS: Final = frozenset(("conv_in.weight", "down_blocks.0.resnets.0.conv1.weight", "mid_block.resnets.0.conv1.weight"))
VAE_MARKS: Final = frozenset(("encoder.down_blocks.0.resnets.0.conv1.weight", "decoder.up_blocks.0.resnets.0.conv1.weight"))
"""keys that say that a file is in this layout"""

_UNET_BLOCK: Final[Mapping[str, str]] = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_VAE_ATTENTION: Final[Mapping[str, str]] = {
    "group_norm": "norm",
    **dict.fromkeys(("to_q", "query"), "q"),
    **dict.fromkeys(("to_k", "key"), "k"),
    **dict.fromkeys(("to_v", "value"), "v"),
    **dict.fromkeys(("to_out.0", "proj_attn"), "proj_out"),
}


def unet_names(keys: Iterable[str]) -> dict[str, str]:
    """By key of a U-Net of diffusers (prefix stripped), what it is called here; unknown ones are left out."""
    known = set(keys)
    blocks = _count(known, r"down_blocks\.0\.resnets\.(\d+)\.")

    def down(match: re.Match[str]) -> str:
        return f"input_blocks.{1 + int(match[1]) * (blocks + 1) + int(match[3])}.{0 if match[2] == 'resnets' else 1}."

    def up(match: re.Match[str]) -> str:
        return f"output_blocks.{int(match[1]) * (blocks + 1) + int(match[3])}.{0 if match[2] == 'resnets' else 1}."

    def narrower(match: re.Match[str]) -> str:
        return f"input_blocks.{(int(match[1]) + 1) * (blocks + 1)}.0.op."

    def wider(match: re.Match[str]) -> str:
        place = 2 if f"up_blocks.{match[1]}.attentions.0.norm.weight" in known else 1
        return f"output_blocks.{int(match[1]) * (blocks + 1) + blocks}.{place}.conv."

    rules: Rules = (
        (r"conv_in\.", "input_blocks.0.0."),
        (r"time_embedding\.linear_(1|2)\.", lambda match: f"time_embed.{0 if match[1] == '1' else 2}."),
        (r"add_embedding\.linear_(1|2)\.", lambda match: f"label_emb.0.{0 if match[1] == '1' else 2}."),
        (r"conv_norm_out\.", "out.0."),
        (r"conv_out\.", "out.2."),
        (r"down_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.", down),
        (r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.", narrower),
        (
            r"mid_block\.(resnets|attentions)\.(\d+)\.",
            lambda match: f"middle_block.{1 if match[1] == 'attentions' else 2 * int(match[2])}.",
        ),
        (r"up_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.", up),
        (r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.", wider),
    )
    return _renamed(known, rules, r"\.resnets\.", _UNET_BLOCK)


def vae_names(keys: Iterable[str]) -> dict[str, str]:
    """By key of an autoencoder of diffusers (prefix stripped), what it is called here; unknown ones are left out."""
    known = set(keys)
    last = _count(known, r"decoder\.up_blocks\.(\d+)\.") - 1

    def up(match: re.Match[str]) -> str:
        return f"decoder.up.{last - int(match[1])}."

    def attention(match: re.Match[str]) -> str:
        return f"{match[1]}.mid.attn_1.{_VAE_ATTENTION[match[2]]}."

    parts = "|".join(map(re.escape, _VAE_ATTENTION))
    rules: Rules = (
        (r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.", r"encoder.down.\1.block.\2."),
        (r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample."),
        (r"decoder\.up_blocks\.(\d+)\.resnets\.(\d+)\.", lambda match: f"{up(match)}block.{match[2]}."),
        (r"decoder\.up_blocks\.(\d+)\.upsamplers\.0\.", lambda match: f"{up(match)}upsample."),
        (r"(encoder|decoder)\.mid_block\.resnets\.(\d+)\.", lambda match: f"{match[1]}.mid.block_{int(match[2]) + 1}."),
        (rf"(encoder|decoder)\.mid_block\.attentions\.0\.({parts})\.", attention),
        (r"(encoder|decoder)\.conv_norm_out\.", r"\1.norm_out."),
        (r"(encoder|decoder)\.conv_(in|out)\.", r"\1.conv_\2."),
        (r"(post_quant_conv|quant_conv)\.", r"\1."),
    )
    return _renamed(known, rules, r"\.resnets\.", {"conv_shortcut": "nin_shortcut"})


def is_flat_convolution(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor of this name (of ours) is a 1x1 convolution that diffusers keeps as a linear layer."""
    return len(shape) == 2 and re.search(r"\.mid\.attn_1\.(q|k|v|proj_out)\.weight$", name) is not None


def _renamed(keys: Iterable[str], rules: Rules, block: str, inside: Mapping[str, str]) -> dict[str, str]:
    """block: what the keys of residual blocks have in them; inside: names of their layers"""
    found: dict[str, str] = {}
    for key in keys:
        for pattern, name in rules:
            match = re.match(pattern, key)
            if match is not None:
                rest = key[match.end() :]
                layer, _, last = rest.rpartition(".")
                if re.search(block, match[0]):
                    rest = f"{inside.get(layer, layer)}.{last}"
                found[key] = (match.expand(name) if isinstance(name, str) else name(match)) + rest
                break
    return found


def _count(keys: Iterable[str], pattern: str) -> int:
    return len({match[1] for match in map(re.compile(pattern).match, keys) if match})

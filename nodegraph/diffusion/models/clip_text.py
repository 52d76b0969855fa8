"""The text half of CLIP (Radford et al. 2021), in the key layout of the transformers library."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nodegraph.diffusion.models.clip_config import Activation, ClipTextConfig


@dataclass(frozen=True)
class ClipOutput:
    """What a text encoder made of (B, L) tokens.

    hidden: `layers + 1` raw states (B, L, width), the embeddings first and the last layer last, none of them normed
    last: (B, L, width), the last state through the final norm
    pooled: (B, projection or width), `last` at the first end-of-text token, projected where the model can
    """

    hidden: tuple[Tensor, ...]
    last: Tensor
    pooled: Tensor


class ClipText(nn.Module):
    """Causal transformer over tokens. Clip skip takes `final_norm(out.hidden[-2])`, SDXL takes `out.hidden[-2]` itself."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = TextModel(config)
        if config.projection is not None:
            self.text_projection = nn.Linear(config.width, config.projection, bias=False)

    def forward(self, ids: Tensor, embeds: Tensor | None = None, eos_at: Tensor | None = None) -> ClipOutput:
        """ids: (B, L) int64, L up to `config.positions`.

        embeds: (B, L, width) in place of the token table, for learnt embeddings; `ids` then only tells where the text ends
        eos_at: (B,) position of the pooled state; by default the first end-of-text token, or position 0 without one
        """
        tokens = self.embed(ids) if embeds is None else embeds
        hidden = self.text_model(tokens)
        last = self.final_norm(hidden[-1])
        if eos_at is None:
            eos_at = (ids == self.config.eos).int().argmax(dim=-1)
        pooled = last[torch.arange(len(ids), device=ids.device), eos_at]
        return ClipOutput(hidden, last, pooled if self.config.projection is None else self.text_projection(pooled))

    def embed(self, ids: Tensor) -> Tensor:
        """Rows of the token table, (B, L, width), without positions."""
        rows: Tensor = self.text_model.embeddings.token_embedding(ids)
        return rows

    def final_norm(self, hidden: Tensor) -> Tensor:
        """The norm after the last layer, for any hidden state."""
        normed: Tensor = self.text_model.final_layer_norm(hidden)
        return normed


class TextModel(nn.Module):
    """Embeddings, encoder, final norm."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        hidden: tuple[Tensor, ...] = self.encoder(self.embeddings(tokens))
        return hidden


class Embeddings(nn.Module):
    """Token and position tables."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.token_embedding = _table(config.vocab, config.width)
        self.position_embedding = _table(config.positions, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        length, positions = tokens.shape[1], self.position_embedding.num_embeddings
        if length > positions:
            raise ValueError(f"{length} tokens, but this text encoder has only {positions} positions")
        where = torch.arange(length, device=tokens.device)
        return tokens + torch.as_tensor(self.position_embedding(where)).to(tokens.dtype)


def _table(rows: int, width: int) -> nn.Embedding:
    """A table drawn as CLIP's are, with deviation 0.02; left empty on the meta device, where drawing would load torch's compiler."""
    weight = torch.empty(rows, width)
    return nn.Embedding(rows, width, _weight=weight if weight.is_meta else nn.init.normal_(weight, std=0.02))


class Encoder(nn.Module):
    """The stack of layers; returns every state."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return tuple(states)


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and perceptron."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.width, config.heads)
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.mlp = Mlp(config.width, config.intermediate, config.activation)
        self.layer_norm2 = nn.LayerNorm(config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class SelfAttention(nn.Module):
    """Causal multi-head attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)  # (B, heads, L, head_dim)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        merged: Tensor = self.out_proj(out.transpose(1, 2).reshape(x.shape))  # (B, L, width)
        return merged


class Mlp(nn.Module):
    """Two linear layers with CLIP's activation between them."""

    def __init__(self, width: int, inner: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        h = h * torch.sigmoid(1.702 * h) if self.activation == "quick_gelu" else F.gelu(h)
        out: Tensor = self.fc2(h)
        return out

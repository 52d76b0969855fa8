"""CLIP's byte pair encoding (Radford et al. 2021): text to the 49,408 token ids that every CLIP text encoder knows."""

from __future__ import annotations

import gzip
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BOS, EOS = 49406, 49407
_PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def tokenize(text: str) -> list[int]:
    """Token ids of a text, without begin and end tokens. Case and runs of white space make no difference.

    Lone surrogates, which JSON can carry but UTF-8 cannot, count as question marks.
    """
    return list(clip_tokenizer().encode(text.encode("utf-8", "replace").decode("utf-8"), add_special_tokens=False).ids)


def token_text(token: int) -> str:
    """What a token stands for, with "</w>" where it ends a word. Raises ValueError for an unknown id."""
    text = clip_tokenizer().id_to_token(token)
    if text is None:
        raise ValueError(f"there is no token {token}; CLIP has 49408")
    return text


@lru_cache(maxsize=1)
def clip_tokenizer() -> Tokenizer:
    """The tokenizer, built once a process in about a tenth of a second."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    merges = _merges()
    model = models.BPE(
        vocab=_vocabulary(merges),
        merges=merges,
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
        unk_token="<|endoftext|>",
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.add_special_tokens(["<|startoftext|>", "<|endoftext|>"])
    return tokenizer


def _merges() -> list[tuple[str, str]]:
    data = (resources.files("nodegraph.diffusion") / "data" / "clip_bpe.txt.gz").read_bytes()
    lines = gzip.decompress(data).decode("utf-8").split("\n")[1:-1]  # a version line before them, nothing after the last
    return [(a, b) for a, _, b in (line.partition(" ") for line in lines)]


def _vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """The order in which CLIP numbers its tokens: bytes, bytes that end a word, merges, the two special ones."""
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges), "<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}


def _byte_letters() -> list[str]:
    """One printable letter for each byte: itself where it is printable, else the next one from U+0100 (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(code) for code in printable] + [chr(256 + n) for n in range(others)]

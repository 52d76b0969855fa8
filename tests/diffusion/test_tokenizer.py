"""CLIP's tokens: those of transformers, for ordinary and for odd text."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodegraph.diffusion.tokenizer import _merges, _vocabulary, clip_tokenizer, token_text, tokenize

ODD = [
    "",
    "a photo of an astronaut riding a horse",
    " a\n\t b  c \r\n",
    "it's we'll THEY'RE I'd I'm isn't 've 'S 'LL",
    "100% 3.14 1e10 ２３ ½ ٣",
    "日本の庭園 über straße l'été Überraschung",
    "한국어 عربى हिन्दी ไทย 𝔘𝔫𝔦",
    "👍🏽 👨‍👩‍👧 ❤️ 🦊",
    "&amp; &lt;b&gt; <b>&#39;",
    "a" * 300,
    "e\u0301 é ﬁ İstanbul ǅ ß",
    "\x00\x01\x7f\u200b\u200dx\ufeff \u00a0nbsp\u3000y\u2028z",
    "!!!??.,..;--__ a_b-c/d\\e (x:1.2) [y]",
]


@pytest.fixture(scope="module")
def transformers_tokenizer() -> object:
    transformers = pytest.importorskip("transformers")
    merges = _merges()
    return transformers.CLIPTokenizer(vocab=_vocabulary(merges), merges=merges)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", ODD)
def test_it_agrees_with_transformers(text: str, transformers_tokenizer: object) -> None:
    assert tokenize(text) == transformers_tokenizer(text)["input_ids"][1:-1]  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=40))
def test_it_agrees_with_transformers_on_any_text(text: str, transformers_tokenizer: object) -> None:
    assert tokenize(text) == transformers_tokenizer(text)["input_ids"][1:-1]  # type: ignore[operator]


def test_known_ids() -> None:
    assert tokenize("a photograph of an astronaut riding a horse") == [320, 8853, 539, 550, 18376, 6765, 320, 4558]
    assert [token_text(token) for token in tokenize("dreambeach")] == ["dream", "beach</w>"]
    assert token_text(49406) == "<|startoftext|>"
    assert clip_tokenizer().get_vocab_size() == 49408


def test_case_and_white_space_make_no_difference() -> None:
    assert tokenize("A  Red\nFOX") == tokenize("a red fox")


def test_what_utf8_cannot_carry_is_a_question_mark() -> None:
    assert tokenize("a \ud800 b") == tokenize("a ? b")


def test_an_unknown_token_is_refused() -> None:
    with pytest.raises(ValueError, match="no token 49408"):
        token_text(49408)


def test_reading_prompts_imports_no_torch() -> None:
    code = "import sys, json, nodegraph.diffusion.prompt as p; p.chunk_prompt('a (fox:1.2)'); print(json.dumps('torch' in sys.modules))"
    assert json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout) is False

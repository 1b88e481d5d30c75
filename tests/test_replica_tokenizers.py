"""Tokenizers and configs of replicas: special tokens, their ids, and settings as published."""

import json

import families
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from analysis.models.replicas import shape

MASKED = [model for model, form in families.FORMS if form == "masked"]
IDS = ("pad_token_id", "bos_token_id", "eos_token_id")
SIZES = {
    *("hidden_size", "n_embd", "d_model", "pooler_hidden_size", "intermediate_size", "d_ff"),
    *("num_hidden_layers", "n_layer", "num_layers", "num_decoder_layers", "encoder_layers"),
    *("decoder_layers", "num_attention_heads", "n_head", "num_heads", "encoder_attention_heads"),
    *("decoder_attention_heads", "encoder_ffn_dim", "decoder_ffn_dim", "d_kv", "vocab_size"),
    *("attention_head_size", "max_position_embeddings", "n_positions", "n_ctx"),
}
every_model = pytest.mark.parametrize("model", families.MODELS)


def tokenizer_of(model):
    return AutoTokenizer.from_pretrained(families.folder(model), local_files_only=True)


def config_of(model, file="config.json"):
    return json.loads((families.folder(model) / file).read_text())


@every_model
def test_a_tiny_replica_has_the_published_settings_but_for_sizes_and_ids(model):
    published, tiny = shape(model)["config"], config_of(model)
    assert published.keys() == tiny.keys()
    changed = {key for key in tiny if tiny[key] != published[key]}
    assert {key for key in changed if not key.endswith("_id")} <= SIZES
    assert tiny["vocab_size"] == len(tokenizer_of(model))


@every_model
def test_special_ids_are_the_tokenizers_and_below_the_vocabulary(model):
    tokenizer, config, published = tokenizer_of(model), config_of(model), shape(model)["config"]
    for file in ("config.json", "generation_config.json"):
        own = config_of(model, file)
        for key, value in own.items():
            if key.endswith("_id"):
                assert 0 <= value < config["vocab_size"]
        for key in ("pad_token_id", "eos_token_id"):
            if key in published:
                assert own[key] == getattr(tokenizer, key)
    assert set(tokenizer.get_vocab().values()) <= set(range(config["vocab_size"]))
    # what a decoder begins and ends with has the role that it has in the published config
    roles = {published[key]: config[key] for key in reversed(IDS) if key in published}
    for key in ("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"):
        if key in published:
            assert config[key] == roles[published[key]]


@pytest.mark.parametrize("model", MASKED)
def test_an_encoder_has_a_mask_and_marks_both_texts_of_a_pair(model):
    tokenizer = tokenizer_of(model)
    assert tokenizer.mask_token_id is not None
    ids = tokenizer("one", "other")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id
    assert ids[-1] == tokenizer.sep_token_id
    assert ids.count(tokenizer.sep_token_id) == (3 if "roberta" in model else 2)
    numbered = "token_type_ids" in tokenizer.model_input_names
    assert numbered == ("roberta" not in model)


def test_gpt2_has_no_token_to_pad_with_as_published():
    tokenizer = tokenizer_of("openai-community/gpt2-xl")
    assert tokenizer.pad_token is None
    assert tokenizer.bos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("model", ["google/t5-v1_1-xl", "google/pegasus-xsum"])
def test_texts_of_these_end_and_do_not_begin(model):
    tokenizer = tokenizer_of(model)
    ids = tokenizer("a text")["input_ids"]
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[:-1]) == "a text"
    assert config_of(model)["decoder_start_token_id"] == tokenizer.pad_token_id


def test_m2m100_has_its_languages():
    tokenizer = tokenizer_of("facebook/m2m100_1.2B")
    tokenizer.src_lang, tokenizer.tgt_lang = "en", "fr"
    ids = tokenizer("a text", text_target="un texte")
    assert ids["input_ids"][0] == tokenizer.get_lang_id("en")
    assert ids["labels"][0] == tokenizer.get_lang_id("fr")
    assert ids["labels"][-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids["labels"], skip_special_tokens=True) == "un texte"
    languages = {tokenizer.get_lang_id(code) for code in tokenizer.lang_code_to_id}
    assert len(languages) == 100
    assert max(languages) < config_of("facebook/m2m100_1.2B")["vocab_size"]


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Cs"]), max_size=20)


@pytest.mark.parametrize("model", families.MODELS[:-1])
@settings(max_examples=25)
@given(text=TEXTS)
def test_any_text_comes_back(model, text):
    tokenizer = _known(model)
    ids = tokenizer(text)["input_ids"]
    assert max(ids, default=0) < len(tokenizer)
    plain = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not set(plain) & set(tokenizer.all_special_ids):  # it may name one
        assert tokenizer.decode(plain) == text


_TOKENIZERS = {}


def _known(model):
    if model not in _TOKENIZERS:
        _TOKENIZERS[model] = tokenizer_of(model)
    return _TOKENIZERS[model]

"""Replicas: published shapes, counts, settings and special tokens; weights drawn as they are."""

import json
from pathlib import Path

import families
import pytest
import torch
import transformers
import yaml
from checkpoints import weights_sha256
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer

from analysis.checkpoints.checkpoint import open_checkpoint
from analysis.checkpoints.weights import read_weights
from analysis.errors import RequestError, RunError
from analysis.replicas.random_weights import stored, write_random
from analysis.replicas.replica import empty, forms, shape, shapes, write_replica

BERT, GPT2, T5 = "google-bert/bert-base-uncased", "openai-community/gpt2-xl", "google/t5-v1_1-xl"
M2M100 = "facebook/m2m100_1.2B"
KNOWN = yaml.safe_load((Path(__file__).parent / "replicas.yml").read_text(encoding="utf-8"))
every_model = pytest.mark.parametrize("model", families.MODELS)
pytestmark = pytest.mark.usefixtures("one_thread")


def config_of(model, file="config.json"):
    return json.loads((families.folder(model) / file).read_text())


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shapes_have_as_many_parameters_as_published():
    assert set(shapes()) == KNOWN["published"].keys()
    for model, published in KNOWN["published"].items():
        config, counted = shape(model)["config"], shape(model)["counted"]
        assert published in (counted, None), model
        parameters = empty(config, counted["class"]).parameters()
        assert sum(p.numel() for p in parameters) == counted["parameters"], model


def test_what_is_not_known_or_cannot_be_written_is_refused(tmp_path, public_folder, unprivileged):
    (tmp_path / "mine").touch()
    for model, form, said in KNOWN["refused"]:
        with pytest.raises(RequestError, match=said):
            write_replica(model, tmp_path, form=form, seed=0, tiny=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    public_folder.chmod(0o555)
    with unprivileged(), pytest.raises(RunError, match=r"cannot write .*: Permission denied"):
        write_replica(GPT2, public_folder / "replica", form="causal", seed=0, tiny=True)


@pytest.mark.parametrize("model", [BERT, GPT2, M2M100])
def test_the_same_seed_makes_the_same_files_and_another_other_weights(tmp_path, model):
    def written(seed):
        (tmp_path / "surplus").touch()  # what is there is replaced whole
        write_replica(model, tmp_path, form=forms(model)[-1], seed=seed, tiny=True)
        return files_of(tmp_path)

    one = files_of(families.folder(model))
    torch.manual_seed(5)
    assert written(0) == one
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))  # the caller's numbers are as if nothing was drawn
    other = written(1)
    assert {name for name in one if one[name] != other[name]} == {"model.safetensors"}


@every_model
def test_weights_are_drawn_as_the_architecture_draws_them(model):
    """Held against the class's own initialisation: what is constant equally, the rest in size."""
    drawn = load_file(families.folder(model) / "model.safetensors")
    config = AutoConfig.from_pretrained(families.folder(model))
    torch.manual_seed(1)
    reference = getattr(transformers, shape(model)["stored"])(config).state_dict()
    random = 0
    for name, tensor in drawn.items():
        expected = reference[name]
        assert (tensor.dtype, tensor.shape) == (torch.float32, expected.shape)
        if expected.unique().numel() == 1:
            assert torch.equal(tensor, expected)
        elif tensor.numel() >= 1024:
            random += 1
            assert float(tensor.std()) == pytest.approx(float(expected.std()), rel=0.15)
            assert abs(float(tensor.mean())) < 0.15 * float(tensor.std())
    assert random >= 8
    sums = [tensor.double().sum().item() for tensor in drawn.values() if tensor.ndim > 1]
    assert len(set(sums)) == len(sums)  # no two alike


@pytest.mark.parametrize("model", [BERT, GPT2, "facebook/bart-base"])
def test_a_checkpoint_in_shards_holds_the_same_weights(tmp_path, model):
    config = AutoConfig.for_model(**config_of(model))
    with torch.device("meta"):
        made = getattr(transformers, shape(model)["stored"])(config)
    write_random(made, tmp_path, seed=0, shard_bytes=100_000)
    assert all(parameter.is_meta for parameter in made.parameters())  # let go, one by one
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) >= 2
    assert shards[0].name == f"model-00001-of-{len(shards):05}.safetensors"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == open_checkpoint(tmp_path).bytes
    largest = max(4 * p.numel() for p in stored(made).values())
    assert all(path.stat().st_size < max(100_000, largest) + 20_000 for path in shards)
    whole, parts = (weights_sha256(read_weights(f)) for f in (families.folder(model), tmp_path))
    assert whole == parts


@pytest.fixture(scope="module")
def tokenizers():
    folders = {model: families.folder(model) for model in families.MODELS}
    return {m: AutoTokenizer.from_pretrained(f, local_files_only=True) for m, f in folders.items()}


@every_model
def test_settings_are_published_but_for_sizes_and_ids_which_are_the_tokenizers(tokenizers, model):
    published, tiny, tokenizer = shape(model)["config"], config_of(model), tokenizers[model]
    assert published.keys() == tiny.keys()
    changed = {key for key in tiny if tiny[key] != published[key]}
    assert {key for key in changed if not key.endswith("_id")} <= set(KNOWN["sizes"])
    assert tiny["vocab_size"] == len(tokenizer)
    assert set(tokenizer.get_vocab().values()) <= set(range(len(tokenizer)))
    for own in (tiny, config_of(model, "generation_config.json")):
        assert all(0 <= own[key] < len(tokenizer) for key in own if key.endswith("_id"))
        for key in {"pad_token_id", "eos_token_id"} & published.keys():
            assert own[key] == getattr(tokenizer, key)
    # what a decoder begins and ends with has the role that it has in the published config
    ids = ("eos_token_id", "bos_token_id", "pad_token_id")  # the last goes before the others
    roles = {published[key]: tiny[key] for key in ids if key in published}
    for key in {"decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id"}:
        if key in published:
            assert tiny[key] == roles[published[key]]


def test_texts_begin_and_end_as_published(tokenizers):
    for model in (model for model, form in families.FORMS if form == "masked"):
        tokenizer, roberta = tokenizers[model], "roberta" in model
        ids = tokenizer("one", "other")["input_ids"]
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert ids.count(tokenizer.sep_token_id) == (3 if roberta else 2)
        assert ("token_type_ids" in tokenizer.model_input_names) != roberta
        assert tokenizer.mask_token_id is not None
    assert tokenizers[GPT2].pad_token is None  # none to pad with
    assert tokenizers[GPT2].bos_token_id == tokenizers[GPT2].eos_token_id
    for model in (T5, "google/pegasus-xsum"):  # these end and do not begin
        ids = tokenizers[model]("a text")["input_ids"]
        assert ids[-1] == tokenizers[model].eos_token_id
        assert tokenizers[model].decode(ids[:-1]) == "a text"
        assert config_of(model)["decoder_start_token_id"] == tokenizers[model].pad_token_id
    tokenizer = tokenizers[M2M100]
    tokenizer.src_lang, tokenizer.tgt_lang = "en", "fr"
    ids = tokenizer("a text", text_target="un texte")
    found = ids["input_ids"][0], ids["labels"][0], ids["labels"][-1]
    assert found == (*map(tokenizer.get_lang_id, ("en", "fr")), tokenizer.eos_token_id)
    assert tokenizer.decode(ids["labels"], skip_special_tokens=True) == "un texte"
    languages = {tokenizer.get_lang_id(code) for code in tokenizer.lang_code_to_id}
    assert (len(languages), max(languages) < config_of(M2M100)["vocab_size"]) == (100, True)


@settings(max_examples=40)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Cs"]), max_size=20))
def test_any_text_comes_back(tokenizers, text):
    for model, tokenizer in tokenizers.items():
        ids = tokenizer(text)["input_ids"]
        assert max(ids, default=0) < len(tokenizer)
        plain = tokenizer(text, add_special_tokens=False)["input_ids"]
        named = set(plain) & set(tokenizer.all_special_ids)  # it may name one
        assert named or model == M2M100 or tokenizer.decode(plain) == text, model

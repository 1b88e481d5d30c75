"""Models as they are loaded to be evaluated: by form, by type, under the hub's names, on GPUs."""

import accelerate
import accelerate.utils
import architectures
import mini
import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from analysis.errors import RequestError, RunError
from analysis.models import loading
from analysis.models.loading import DTYPES, load_model, put, resolve_dtype
from analysis.models.tokenizing import open_tokenizer


def classifier(architecture):
    """A tiny classifier of two labels, with random weights."""
    config = architectures.model(architecture).config
    return getattr(transformers, f"{architecture}ForSequenceClassification")(config)


def saved(folder, architecture, model=None):
    """A folder with a tiny model, or this one, and its tokenizer."""
    torch.manual_seed(0)
    (model or architectures.model(architecture)).save_pretrained(folder)
    mini.tokenizer(architecture).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("form", "architecture", "name"),
    [
        ("classification", "Bert", "BertForSequenceClassification"),
        ("masked", "Bert", "BertForMaskedLM"),
        ("masked", "DebertaV2", "DebertaV2ForMaskedLM"),
        ("causal", "GPT2", "GPT2LMHeadModel"),
        ("cloze", "GPT2", "GPT2LMHeadModel"),
        ("text-to-text", "T5", "T5ForConditionalGeneration"),
    ],
)
def test_each_form_has_its_head(tmp_path, form, architecture, name):
    trained = classifier(architecture) if form == "classification" else None
    model, _ = load_model(saved(tmp_path, architecture, trained), form, "cpu")
    assert type(model).__name__ == name
    assert not model.training


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_of_the_type_asked_for(tmp_path, dtype):
    expected = torch.float32 if dtype == "auto" else getattr(torch, dtype)
    model, _ = load_model(saved(tmp_path, "Bert"), "masked", "cpu", dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {expected}


def test_the_automatic_type_is_the_best_that_the_device_has(monkeypatch):
    assert resolve_dtype("auto", "cpu") is torch.float32
    for has_it, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated, has_it=has_it: has_it)
        assert resolve_dtype("auto", "cuda") is expected
        assert resolve_dtype("float32", "cuda") is torch.float32


@pytest.mark.parametrize("dtype", ["float64", "int8", "", "half"])
def test_other_types_are_refused(tmp_path, dtype):
    with pytest.raises(RequestError, match="dtype") as caught:
        resolve_dtype(dtype, "cpu")
    assert "bfloat16" in str(caught.value)


def test_a_classifier_is_told_how_its_batches_are_padded(tmp_path):
    """GPT-2's checkpoint names no token, and its classifier then takes no batch."""
    model = classifier("GPT2")
    model.config.pad_token_id = None
    tokenizer = mini.tokenizer("GPT2")
    model, tokenizer = load_model(saved(tmp_path, "GPT2", model), "classification", "cpu")
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert model(torch.tensor([[5, 6], [7, 0]])).logits.shape == (2, 2)


@pytest.mark.parametrize(
    ("architecture", "form", "prefix", "matrix"),
    [
        ("GPT2", "causal", "transformer.", "h.0.attn.c_attn.weight"),
        ("Bart", "text-to-text", "model.", "shared.weight"),
    ],
)
def test_what_is_pruned_may_have_the_names_of_the_bare_model(
    tmp_path, architecture, form, prefix, matrix
):
    folder = saved(tmp_path, architecture)
    tensors = load_file(folder / "model.safetensors")
    bare = {name.removeprefix(prefix): array for name, array in tensors.items()}
    assert matrix in bare
    save_file(bare, folder / "model.safetensors", metadata={"format": "pt"})
    model, _ = load_model(folder, form, "cpu")
    mask = np.random.default_rng(0).random(bare[matrix].shape) < 0.5
    put(model, {matrix: mask}, {matrix: bare[matrix] * 2})
    found = model.state_dict()[prefix + matrix].numpy()
    np.testing.assert_array_equal(found, np.where(mask, bare[matrix] * 2, 0))


def test_what_another_form_of_task_has_is_not_put_in(tmp_path):
    """BERT as it was pretrained has a pooler, which the model that guesses words lacks."""
    model, _ = load_model(saved(tmp_path, "Bert"), "masked", "cpu")
    pooler, matrix = "bert.pooler.dense.weight", "bert.encoder.layer.0.output.dense.weight"
    nothing = {name: np.zeros((16, 16), bool) for name in (pooler, "cls.seq_relationship.weight")}
    put(model, nothing | {matrix: np.zeros((16, 32), bool)}, {pooler: np.ones((16, 16), "f4")})
    assert not model.state_dict()[matrix].any()
    with pytest.raises(KeyError, match=r"layer\.9"):
        put(model, {matrix.replace("layer.0", "layer.9"): np.zeros((16, 32), bool)}, {})


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Bart"])
def test_a_model_without_a_head_is_not_scored_with_a_random_one(tmp_path, architecture):
    with pytest.raises(RunError, match="has no head for this form of task") as caught:
        load_model(saved(tmp_path, architecture), "classification", "cpu")
    assert "fine_tune" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_lacks_a_layer_is_refused(tmp_path):
    folder = saved(tmp_path, "GPT2")
    tensors = load_file(folder / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"h\.1\.mlp\.c_fc\.weight"):
        load_model(folder, "causal", "cpu")


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "T5"])
def test_a_folder_without_a_tokenizer_is_refused(tmp_path, architecture):
    """Transformers makes one up that knows no word."""
    architectures.model(architecture).save_pretrained(tmp_path)
    with pytest.raises(RequestError, match="has no tokenizer") as caught:
        open_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_changing_a_model_leaves_its_file(tmp_path):
    folder = saved(tmp_path, "GPT2")
    before = (folder / "model.safetensors").read_bytes()
    model, _ = load_model(folder, "causal", "cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert (folder / "model.safetensors").read_bytes() == before
    assert any(weight.any() for weight in load_model(folder, "causal", "cpu")[0].parameters())


# ---------------------------------------------------------------- several GPUs


@pytest.fixture
def gpus(monkeypatch):
    """As many GPUs with so many bytes as are set, and the plans by which a model is spread."""
    memory, plans = {}, []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(memory))
    monkeypatch.setattr(accelerate.utils, "get_max_memory", lambda: memory | {"cpu": 10**9})
    monkeypatch.setattr(
        accelerate, "dispatch_model", lambda model, device_map: plans.append(device_map) or model
    )
    return memory, plans


def test_a_model_is_spread_over_gpus_with_whole_blocks(tmp_path, gpus):
    memory, plans = gpus
    model = architectures.model("GPT2")
    size = sum(parameter.nbytes for parameter in model.parameters())
    memory.update({0: size // 2 + 6000, 1: size})
    loading._placed(model, "cuda", tmp_path)
    (plan,) = plans
    assert set(plan.values()) == {0, 1}
    blocks = [name for name in plan if ".h." in f".{name}."]
    assert all(name.count(".") <= 2 for name in blocks), plan


def test_a_model_larger_than_all_gpus_is_refused_in_one_line(tmp_path, gpus):
    memory, plans = gpus
    memory.update({0: 1000, 1: 1000})
    with pytest.raises(RunError, match="does not fit into the memory of 2 GPUs") as caught:
        loading._placed(architectures.model("GPT2"), "cuda", tmp_path)
    assert "\n" not in str(caught.value)
    assert not plans


def test_the_cpu_is_never_spread_over(tmp_path, gpus):
    memory, plans = gpus
    memory.update({0: 1000, 1: 1000})
    model, _ = load_model(saved(tmp_path, "GPT2"), "causal", "cpu")
    assert model.device.type == "cpu"
    assert not plans

"""What goes into each matrix is what a plain forward pass puts in, and padding never enters."""

import gc
from itertools import islice, pairwise

import architectures
import calibrations
import numpy as np
import pytest
import torch
import transformers
from greenlet import greenlet
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from analysis.calibration import batches as batches_module
from analysis.calibration.batches import calibration_batches
from analysis.calibration.inputs import Sums
from analysis.calibration.lockstep import blocks
from analysis.calibration.matrices import matrices
from analysis.errors import RequestError, RunError
from analysis.models import naming
from analysis.models.encoding import IGNORED

every_architecture = pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
ENCODER_DECODERS = ["Bart", "Pegasus", "M2M100", "T5"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def all_inputs(of, run_on, products=True):
    found = {}
    for inputs in blocks(of, run_on, calibrations.found(of), products):
        found |= inputs
    return found


# ---------------------------------------------------------------- against a plain forward pass


@pytest.mark.parametrize("products", [True, False])
@every_architecture
def test_inputs_are_those_of_a_plain_forward_pass(architecture, products):
    """Batches differ in length; cross-attention's keys and values see the encoder's tokens."""
    of = calibrations.model(architecture)
    run_on = calibrations.batches(of)
    names = calibrations.in_scope(of)
    expected = calibrations.plain_inputs(of, run_on, names)
    given = all_inputs(of, run_on, products)
    assert sorted(given) == names
    for name in names:
        expected[name].check(given[name], products)


@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
def test_cross_attention_sees_the_encoders_tokens_and_the_rest_of_the_decoder_its_own(architecture):
    of = calibrations.model(architecture)
    run_on = calibrations.batches(of)
    encoded = sum(int(batch["attention_mask"].sum()) for batch in run_on)
    decoded = sum(int(batch["decoder_attention_mask"].sum()) for batch in run_on)
    assert encoded != decoded
    for name, inputs in all_inputs(of, run_on).items():
        cross = "encoder_attn" in name or "EncDecAttention" in name
        key_or_value = name.split(".")[-2] in ("k_proj", "v_proj", "k", "v")
        in_encoder = "encoder.layers" in name or "encoder.block" in name
        of_encoder = in_encoder or (cross and key_or_value)
        assert inputs.tokens == (encoded if of_encoder else decoded), name


@every_architecture
def test_padding_never_enters(architecture):
    """Other tokens where there is padding change nothing at all that is summed."""
    of = calibrations.model(architecture)
    run_on = calibrations.batches(of)
    other = []
    for batch in run_on:
        batch = dict(batch)
        for ids, mask in [
            ("input_ids", "attention_mask"),
            ("decoder_input_ids", "decoder_attention_mask"),
        ]:
            if ids in batch:
                assert (batch[mask] == 0).any()
                batch[ids] = batch[ids].masked_fill(batch[mask] == 0, 7)
        other.append(batch)
    padded, replaced = all_inputs(of, run_on), all_inputs(of, other)
    for name in padded:
        assert padded[name].tokens == replaced[name].tokens
        torch.testing.assert_close(padded[name].sums, replaced[name].sums, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(padded[name].squares, replaced[name].squares)
        torch.testing.assert_close(
            padded[name].products, replaced[name].products, rtol=1e-4, atol=1e-4
        )


def test_more_padding_changes_nothing():
    of = calibrations.model("Bart")
    run_on = calibrations.batches(of)
    longer = [
        {name: torch.nn.functional.pad(tensor, (0, 3)) for name, tensor in batch.items()}
        for batch in run_on
    ]
    one, two = all_inputs(of, run_on), all_inputs(of, longer)
    for name in one:
        assert one[name].tokens == two[name].tokens
        torch.testing.assert_close(one[name].squares, two[name].squares)


def test_without_a_decoders_mask_the_models_only_mask_counts():
    of = calibrations.model("GPT2")
    ids = torch.tensor([[5, 6, 7, 0], [8, 9, 10, 11]])
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    assert {inputs.tokens for inputs in all_inputs(of, [batch]).values()} == {7}


# ---------------------------------------------------------------- sums


def test_means_variances_and_norms_are_numpys():
    x = np.random.default_rng(0).normal(3, 2, (50, 6)).astype(np.float32)
    sums = Sums(with_products=True)
    for part in np.array_split(x, [7, 7, 30]):  # one is empty
        sums.add(torch.from_numpy(part))
    inputs = sums.total()
    np.testing.assert_allclose(inputs.mean, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(inputs.variance, x.var(0), rtol=1e-5)
    np.testing.assert_allclose(inputs.norms, np.linalg.norm(x, axis=0), rtol=1e-6)
    np.testing.assert_allclose(inputs.products, x.T @ x, rtol=1e-5)


def test_a_constant_inputs_variance_is_not_negative():
    inputs = calibrations.inputs(np.full((7, 3), 0.1))
    assert (inputs.variance >= 0).all()
    assert inputs.variance.max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_summed_in_wider_ones(dtype):
    """5000 tokens of 1 would stop at 256 in bfloat16, and at 2048 in float16."""
    sums = Sums(with_products=True)
    sums.add(torch.ones(5000, 2, dtype=dtype))
    inputs = sums.total()
    assert inputs.sums.tolist() == inputs.squares.tolist() == [5000, 5000]
    assert inputs.products.tolist() == [[5000, 5000], [5000, 5000]]


def test_no_tokens_are_no_inputs():
    sums = Sums(with_products=False)
    assert sums.total() is None
    sums.add(torch.ones(0, 2))
    assert sums.total() is None


# ---------------------------------------------------------------- block after block


def prune_by_hand(of, names):
    """Something that changes every output of a block: half of each matrix goes."""
    for name in names:
        of.get_parameter(name).data.view(-1)[::2] = 0


@every_architecture
def test_each_block_sees_the_outputs_of_those_already_pruned(architecture):
    of = calibrations.model(architecture)
    run_on = calibrations.batches(of)
    before = []
    for inputs in blocks(of, run_on, calibrations.found(of), products=True):
        again = calibrations.model(architecture)
        prune_by_hand(again, before)
        expected = calibrations.plain_inputs(again, run_on, inputs)
        for name in inputs:
            expected[name].check(inputs[name])
        prune_by_hand(of, inputs)
        before += inputs
    assert sorted(before) == calibrations.in_scope(of)


@every_architecture
def test_blocks_come_as_the_model_runs_them_and_the_whole_encoder_first(architecture):
    of = calibrations.model(architecture)
    run_on = calibrations.batches(of)
    found = calibrations.found(of)
    expected = []
    for path in {matrix.block for matrix in found}:
        of.get_submodule(path).register_forward_pre_hook(
            lambda *_, path=path: expected.append(path)
        )
    of(**run_on[0])
    again = calibrations.model(architecture)
    given = [
        {naming.block_of(name) for name in inputs}
        for inputs in blocks(again, run_on, calibrations.found(again), products=False)
    ]
    assert given == [{path} for path in expected]
    stacks = ["decoder" in path.split(".") for path in expected]
    assert stacks == sorted(stacks)
    assert len(stacks) == (4 if architecture in ENCODER_DECODERS else 2)


@every_architecture
def test_the_blocks_without_matrices_are_run_too(architecture):
    """Only the last block is asked for: its inputs are the same as when all are."""
    of = calibrations.model(architecture)
    run_on = calibrations.batches(of)
    *_, expected = blocks(of, run_on, calibrations.found(of), products=False)
    (alone,) = blocks(of, run_on, matrices(of, expected), products=False)
    for name in expected:
        torch.testing.assert_close(alone[name].squares, expected[name].squares)


def test_a_block_that_runs_twice_is_given_once_with_its_first_inputs():
    """ALBERT's layers are one block."""
    torch.manual_seed(0)
    config = transformers.AlbertConfig(
        **architectures.SMALL, **architectures.ENCODER, embedding_size=8
    )
    of = transformers.AlbertForMaskedLM(config).eval()
    run_on, names = calibrations.batches(of), calibrations.in_scope(of)
    (given,) = blocks(of, run_on, calibrations.found(of), products=True)
    of.config.num_hidden_layers = 1
    expected = calibrations.plain_inputs(of, run_on, names)
    assert sorted(given) == names
    for name in names:
        expected[name].check(given[name])


def test_a_models_weights_are_left_as_they_are():
    of = calibrations.model("T5")
    before = {name: tensor.clone() for name, tensor in of.state_dict().items()}
    all_inputs(of, calibrations.batches(of))
    for name, tensor in of.state_dict().items():
        assert torch.equal(tensor, before[name])


# ---------------------------------------------------------------- nothing is left behind


def hooks_of(of):
    return [
        hook
        for module in of.modules()
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    ]


def halted():
    """The greenlets that have begun and not ended, but those that threads begin with."""
    return [one for one in gc.get_objects() if type(one) is greenlet and one and one.parent]


def leaves_nothing(of, run_on):
    """Nor does a plain forward pass halt any more."""
    return not hooks_of(of) and not halted() and of(**run_on[0]).logits is not None


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "T5"])
@pytest.mark.parametrize("taken", [0, 1, None])
def test_neither_hooks_nor_passes_are_left_behind(architecture, taken):
    of = calibrations.model(architecture)
    run_on = calibrations.batches(of)
    steps = blocks(of, run_on, calibrations.found(of), products=False)
    for _ in islice(steps, taken):
        assert hooks_of(of)
        assert len(halted()) == len(run_on)
    steps.close()
    assert leaves_nothing(of, run_on)


def test_a_generator_that_is_dropped_leaves_nothing():
    of = calibrations.model("Bart")
    run_on = calibrations.batches(of)
    steps = blocks(of, run_on, calibrations.found(of), products=False)
    next(steps)
    del steps
    assert leaves_nothing(of, run_on)


def test_an_error_of_whoever_asks_leaves_nothing():
    of = calibrations.model("Bart")
    run_on = calibrations.batches(of)

    def fails_half_way():
        for number, _ in enumerate(blocks(of, run_on, calibrations.found(of), products=False)):
            if number == 1:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_half_way()
    assert leaves_nothing(of, run_on)
    steps = blocks(of, run_on, calibrations.found(of), products=False)
    next(steps)
    with pytest.raises(ZeroDivisionError):
        steps.throw(ZeroDivisionError())
    assert leaves_nothing(of, run_on)


@pytest.mark.parametrize("layer", [0, 1])
def test_an_error_in_the_model_comes_out_and_leaves_nothing(layer):
    of = calibrations.model("Bert")
    run_on = calibrations.batches(of)
    broken = of.base_model.encoder.layer[layer].output
    working, broken.forward = broken.forward, lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        all_inputs(of, run_on)
    broken.forward = working
    assert leaves_nothing(of, run_on)


def test_a_model_can_be_run_again_as_before():
    of = calibrations.model("Pegasus")
    run_on = calibrations.batches(of)
    one, two = all_inputs(of, run_on), all_inputs(of, run_on)
    for name in one:
        assert torch.equal(one[name].products, two[name].products)


# ---------------------------------------------------------------- what is refused


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_block_that_is_never_reached_is_named():
    of = calibrations.model("Llama")
    of.config.num_hidden_layers = 1
    run_on = calibrations.batches(of)
    with pytest.raises(RunError) as caught:
        all_inputs(of, run_on)
    assert "model.layers.1." in one_line(caught)
    assert leaves_nothing(of, run_on)


def test_a_matrix_that_never_runs_is_named():
    of = calibrations.model("Bert")
    dead = of.base_model.encoder.layer[1].intermediate
    dead.forward = lambda x: torch.cat([x, x], dim=-1)
    run_on = calibrations.batches(of)
    with pytest.raises(RunError) as caught:
        all_inputs(of, run_on)
    assert "bert.encoder.layer.1.intermediate.dense.weight" in one_line(caught)
    assert leaves_nothing(of, run_on)


def test_a_matrix_that_sees_padding_only_is_named():
    of = calibrations.model("GPT2")
    ids = torch.ones(2, 4, dtype=torch.long)
    with pytest.raises(RunError) as caught:
        all_inputs(of, [{"input_ids": ids, "attention_mask": ids * 0}])
    assert "transformer.h.0.attn.c_attn.weight has no inputs" in one_line(caught)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_inputs_that_are_not_finite_are_refused_by_name(bad):
    of = calibrations.model("Bert")
    of.base_model.encoder.layer[0].output.dense.bias.data[3] = bad
    run_on = calibrations.batches(of)
    with pytest.raises(RunError) as caught:
        all_inputs(of, run_on)
    assert "bert.encoder.layer.1." in one_line(caught)
    assert "not finite" in one_line(caught)
    assert leaves_nothing(of, run_on)


def test_a_matrix_that_sees_some_tokens_only_is_refused():
    """As experts do: nobody knows which of its rows are padding."""
    of = calibrations.model("Bert")
    part = of.base_model.encoder.layer[0].intermediate
    part.forward = lambda x, whole=part.forward: whole(x[:, :2]).repeat(1, x.shape[1] // 2, 1)
    run_on = calibrations.batches(of)[:1]
    with pytest.raises(RunError) as caught:
        all_inputs(of, run_on)
    assert "bert.encoder.layer.0.intermediate.dense.weight gets 4 rows for 20" in one_line(caught)


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layer.0.output.LayerNorm.weight",
        "bert.encoder.layer.7.output.dense.weight",  # there is no such layer
        "bert.encoder.layer.0.mlp.experts.gate_up_proj",  # 3-D: all experts in one
        "cls.predictions.transform.dense.weight",
        "somewhere.else",
    ],
)
def test_what_is_no_linear_layer_of_a_block_is_refused_in_one_line(name):
    of = calibrations.model("Bert")
    with pytest.raises(RequestError) as caught:
        matrices(of, [*calibrations.in_scope(of), name])
    assert name in one_line(caught)
    assert f"--exclude '{name}'" in one_line(caught)


@every_architecture
@pytest.mark.parametrize("prefixed", [True, False])
def test_matrices_are_found_with_and_without_the_base_models_prefix(architecture, prefixed):
    of = calibrations.model(architecture)
    names = [
        name if prefixed else name.removeprefix(f"{of.base_model_prefix}.")
        for name in calibrations.in_scope(of)
    ]
    found = matrices(of, names)
    assert [matrix.name for matrix in found] == names
    for matrix, whole in zip(found, calibrations.in_scope(of), strict=True):
        assert matrix.module.weight is of.get_parameter(whole)


@every_architecture
def test_outputs_come_first_whichever_way_a_matrix_is_stored(architecture):
    of = calibrations.model(architecture)
    for matrix in calibrations.found(of):
        out, width = matrix.outputs_first.shape
        x = torch.randn(3, width)
        bias = getattr(matrix.module, "bias", None)
        expected = matrix.module(x) - (0 if bias is None else bias)
        torch.testing.assert_close(x @ matrix.outputs_first.T, expected.data)
        assert torch.equal(matrix.as_stored(matrix.outputs_first), matrix.module.weight)
        matrix.outputs_first[out - 1, 0] = 5.0
        assert (matrix.module.weight == 5.0).sum() == 1


# ---------------------------------------------------------------- batches

WORDS = ["<pad>", "</s>", "<s>", "[SEP]", "<unk>", *"abcdefgh"]


def tokenizer(kind):
    """One word, one token; framed as BERT, BART and T5 frame a text, or not at all as GPT-2."""
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ["input_ids", "attention_mask"]
    if kind == "Bert":
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A [SEP]", pair="<s> $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("<s>", 2), ("[SEP]", 3)],
        )  # fmt: skip
        names.append("token_type_ids")
    elif kind != "GPT2":
        core.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, model_input_names=names, pad_token="<pad>", eos_token="</s>",
        bos_token="<s>", unk_token="<unk>",
    )  # fmt: skip


def started(architecture):
    """A tiny model that knows its decoder's start token, as published T5s do."""
    of = calibrations.model(architecture)
    if architecture == "T5":
        of.config.decoder_start_token_id = calibrations.PADDING
    return of


def made(architecture, form, examples, max_tokens=16):
    of = started(architecture)
    return calibration_batches(of, tokenizer(architecture), form, examples, max_tokens)


def as_lists(batch):
    return {name: tensor.tolist() for name, tensor in batch.items()}


def test_pairs_are_framed_told_apart_and_padded():
    examples = [{"first": "a", "second": "b c", "label": 0}, {"first": "a", "second": "b"}]
    (batch,) = made("Bert", "classification", examples)
    assert as_lists(batch) == {
        "input_ids": [[2, 5, 3, 6, 7, 3], [2, 5, 3, 6, 3, 0]],
        "attention_mask": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]],
        "token_type_ids": [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0]],
    }


def test_pairs_of_a_model_that_knows_none_are_two_lines():
    (batch,) = made("GPT2", "classification", [{"first": "a", "second": "b", "label": 0}])
    assert as_lists(batch) == {"input_ids": [[5, 6]], "attention_mask": [[1, 1]]}


def test_texts_to_continue_have_a_beginning_an_end_and_no_labels():
    (batch,) = made("GPT2", "causal", [{"text": "a"}, {"text": "a b c"}])
    assert as_lists(batch) == {
        "input_ids": [[2, 5, 6, 7, 1], [2, 5, 1, 0, 0]],
        "attention_mask": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
    }


@pytest.mark.parametrize("architecture", ENCODER_DECODERS)
def test_a_decoder_is_given_its_target_shifted_by_one(architecture):
    """As transformers shifts labels in training; what is not a real token is masked."""
    of = started(architecture)
    examples = [{"source": "a b", "target": "c d e"}, {"source": "a", "target": "b"}]
    (batch,) = made(architecture, "text-to-text", examples)
    labels = torch.tensor([[7, 8, 9, 1], [6, 1, IGNORED, IGNORED]])
    start = of.config.decoder_start_token_id
    assert as_lists(batch) == {
        "input_ids": [[5, 6, 1], [5, 1, 0]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "decoder_input_ids": [[start, 7, 8, 9], [start, 6, 1, 0]],
        "decoder_attention_mask": [[1, 1, 1, 1], [1, 1, 1, 0]],
    }
    entered = []
    decoder = of.get_decoder()
    hook = decoder.register_forward_pre_hook(
        lambda _, args, kwargs: entered.append(kwargs.get("input_ids")), with_kwargs=True
    )
    of(batch["input_ids"], batch["attention_mask"], labels=labels)
    of(**batch)
    hook.remove()
    assert entered[0] is not None
    assert torch.equal(*entered)


def test_a_decoder_without_a_target_is_given_the_text_itself():
    """An encoder-decoder that classifies: BART reads the text twice."""
    examples = [{"first": "a b", "label": 1}, {"first": "a", "label": 0}]
    (batch,) = made("Bart", "classification", examples)
    start = calibrations.model("Bart").config.decoder_start_token_id
    assert as_lists(batch) == {
        "input_ids": [[5, 6, 1], [5, 1, 0]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "decoder_input_ids": [[start, 5, 6], [start, 5, 1]],
        "decoder_attention_mask": [[1, 1, 1], [1, 1, 1]],
    }


@pytest.mark.parametrize("architecture", ["Bart", "T5"])
def test_a_decoder_without_a_start_token_starts_with_padding(architecture):
    of = calibrations.model(architecture)
    if architecture == "Bart":
        of.config.decoder_start_token_id = None
    assert getattr(of.config, "decoder_start_token_id", None) is None
    examples = [{"source": "a", "target": "b"}]
    (batch,) = calibration_batches(of, tokenizer(architecture), "text-to-text", examples, 16)
    assert batch["decoder_input_ids"].tolist() == [[0, 6]]


def test_long_texts_are_cut():
    (batch,) = made("GPT2", "causal", [{"text": "a b c d e f g h"}], max_tokens=4)
    assert batch["input_ids"].tolist() == [[2, 5, 6, 7]]
    (batch,) = made("T5", "text-to-text", [{"source": "a b c d", "target": "e f g h"}], 3)
    assert batch["input_ids"].tolist() == [[5, 6, 1]]
    assert batch["decoder_input_ids"].tolist() == [[0, 9, 10]]


def test_every_text_is_in_one_batch_with_those_of_about_its_length():
    texts = [" ".join("abcdefgh"[: 1 + i % 8]) for i in range(120)]
    run_on = made("GPT2", "causal", [{"text": text} for text in texts])
    longest = max(len(text.split()) + 2 for text in texts)
    rows = max(1, batches_module.BATCH_TOKENS // longest)
    assert [len(batch["input_ids"]) for batch in run_on] == [rows, rows, 120 - 2 * rows]
    lengths = [batch["attention_mask"].sum(1) for batch in run_on]
    assert sorted(torch.cat(lengths).tolist()) == sorted(len(text.split()) + 2 for text in texts)
    for longer, shorter in pairwise(lengths):
        assert longer.min() >= shorter.max()


@pytest.mark.parametrize("form", ["classification", "causal", "text-to-text"])
def test_no_texts_are_refused_in_one_line(form):
    with pytest.raises(RequestError) as caught:
        made("Bert", form, [])
    assert "no calibration texts" in one_line(caught)


@pytest.mark.parametrize(
    ("architecture", "form", "example"),
    [
        ("Bert", "classification", {"first": "a", "second": "b c"}),
        ("DebertaV2", "classification", {"first": "a b"}),
        ("GPT2", "causal", {"text": "a b c"}),
        ("Llama", "causal", {"text": "a b c"}),
        ("Bart", "classification", {"first": "a b c"}),
        ("Bart", "causal", {"text": "a b c"}),
        ("T5", "text-to-text", {"source": "a b", "target": "c d e f"}),
        ("M2M100", "text-to-text", {"source": "a b", "target": "c d e f"}),
    ],
)
def test_a_model_runs_on_its_batches(architecture, form, example):
    of = calibrations.model(architecture)
    shorter = {name: text.split()[0] for name, text in example.items()}
    run_on = calibration_batches(of, tokenizer(architecture), form, [example, shorter], 16)
    assert set(all_inputs(of, run_on)) == set(calibrations.in_scope(of))

"""Calibration: what goes into each matrix, as a plain forward pass puts it in, of which texts."""

from itertools import pairwise

import architectures
import calibrations
import mini
import numpy as np
import pytest
import torch
import transformers
from calibrations import CASES, refused
from greenlet import greenlet

from analysis import tasks
from analysis.calibration import batches, lockstep, texts
from analysis.calibration.inputs import Sums
from analysis.calibration.matrices import matrices
from analysis.checkpoints import naming
from analysis.errors import RequestError, RunError
from analysis.models import encoding
from analysis.pruning import loaded, moments
from analysis.pruning.calibrated import Calibration
from analysis.pruning.structured import projections

pytestmark = pytest.mark.usefixtures("one_thread")
ALL = list(architectures.ARCHITECTURES)
FORMS = {"encoder-only": "classification", "decoder-only": "causal"}  # else text-to-text


def steps(of, run_on, products=False):
    return lockstep.blocks(of, run_on, calibrations.found(of), products)


def all_inputs(of, run_on):
    return {name: one for inputs in steps(of, run_on) for name, one in inputs.items()}


def in_turns(stack):
    """Let ALBERT's groups run in turn, twice, as a universal transformer's blocks do."""

    def forward(hidden_states, attention_mask=None, **options):
        hidden_states = stack.embedding_hidden_mapping_in(hidden_states)
        for group in [*stack.albert_layer_groups] * 2:
            hidden_states = group(hidden_states, attention_mask, **options)
        return transformers.modeling_outputs.BaseModelOutput(hidden_states)

    stack.forward = forward


@pytest.mark.parametrize("architecture", [*ALL, "Albert", "Albert in turns"])
def test_each_block_sees_what_a_plain_pass_puts_in_with_those_before_it_pruned(architecture):
    """Blocks come as the model runs them, the whole encoder first, each once. Batches differ in
    length; keys and values of cross-attention see the encoder's tokens; nothing sees padding."""
    of, plain = (calibrations.model(architecture.split()[0]) for _ in range(2))
    for model in (of, plain) if "turns" in architecture else ():
        in_turns(model.albert.encoder)
    run_on, entered, given = calibrations.batches(of), [], []
    assert all((batch["attention_mask"] == 0).any() for batch in run_on)
    for path in {matrix.block for matrix in calibrations.found(plain)}:
        block = plain.get_submodule(path)
        block.register_forward_pre_hook(lambda *_, path=path: entered.append(path))
    plain(**run_on[0])
    order = [*dict.fromkeys(entered)]
    assert order == sorted(order, key=lambda path: "decoder" in path.split("."))
    for inputs in steps(of, run_on, products=True):
        assert {naming.block_of(name) for name in inputs} == {order[len(given)]}
        expected = calibrations.inputs_alone(plain, run_on, inputs)
        given.append(sorted(inputs))
        for name, found in inputs.items():
            calibrations.check(found, expected[name])
            for model in (of, plain):  # something that changes all outputs of the block
                model.get_parameter(name).data.view(-1)[::2] = 0
    assert sorted(name for names in given for name in names) == calibrations.in_scope(of)


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "Bart"])
def test_sums_are_the_same_each_time_and_for_a_part_and_moments_are_numpys(architecture):
    of = calibrations.model(architecture)
    run_on, names = calibrations.batches(of), calibrations.in_scope(of)
    given, again = all_inputs(of, run_on), all_inputs(of, run_on)
    assert all(torch.equal(given[name].squares, again[name].squares) for name in names)
    *_, last = steps(of, run_on)
    (alone,) = lockstep.blocks(of, run_on, matrices(of, last), False)  # others run all the same
    for name in last:
        torch.testing.assert_close(alone[name].squares, last[name].squares)
    chosen = projections(naming.weights(names))
    found, _ = moments.moments_of(Calibration(load=lambda: of, batches=lambda _: run_on), chosen)
    assert sorted(found) == chosen
    for name, x in calibrations.inputs_alone(of, run_on, chosen).items():
        np.testing.assert_allclose(found[name].mean, x.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[name].variance, x.var(0), rtol=1e-4, atol=1e-9)


COMPOSITIONS = {  # how many texts, the length of the longest, and of what is decoded from it
    "padded": calibrations.SIZES,
    "as many texts as tokens": [(4, 4, 6), (5, 7, 5), (3, 8, 4)],
    "each alone": [(1, 7, 5), (1, 4, 6)],
}


@pytest.mark.parametrize("architecture", [*ALL, *architectures.OTHERS])
def test_statistics_are_those_of_one_text_at_a_time_without_padding(architecture):
    """Whatever lies beside a text: of models that run time first or in windows, that look at
    padding, run a block several times, or pool tokens."""
    of = calibrations.model(architecture)
    names = calibrations.in_scope(of)
    names = [name for name in names if "_global" not in name]  # which Longformer's texts have not
    for what, sizes in COMPOSITIONS.items():
        run_on = calibrations.batches(of, sizes)
        expected = calibrations.inputs_alone(of, run_on, names)
        found = {}
        for inputs in lockstep.blocks(of, run_on, matrices(of, names), False):
            assert not inputs.keys() & found.keys()  # a block is there once
            found |= inputs
        assert sorted(found) == names
        for name, x in expected.items():
            assert (name, found[name].tokens) == (name, len(x)), what
            for given, sums in ((found[name].squares, x**2), (found[name].sums, x)):
                most = 1e-5 * np.abs(sums).sum(0).max()
                np.testing.assert_allclose(given, sums.sum(0), rtol=0, atol=most, err_msg=name)


def test_means_variances_and_norms_are_numpys_of_any_type():
    x = np.random.default_rng(0).normal(3, 2, (50, 6)).astype(np.float32)
    x[:, 5] = 0.1  # its variance is not negative
    sums, none = Sums(with_products=True), Sums(with_products=False)
    none.add(torch.ones(0, 2))
    assert sums.total() is none.total() is None
    for part in np.array_split(x, [0, 7, 7, 30]):  # two are empty
        sums.add(torch.from_numpy(part))
    inputs = sums.total()
    assert sums.total() is inputs
    np.testing.assert_allclose(inputs.mean, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(inputs.variance, x.var(0), rtol=1e-5, atol=1e-12)
    assert (inputs.variance >= 0).all()
    np.testing.assert_allclose(inputs.norms, np.linalg.norm(x, axis=0), rtol=1e-6)
    np.testing.assert_allclose(inputs.products, x.T @ x, rtol=1e-5)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        sums = Sums(with_products=True)
        sums.add(torch.ones(5000, 1, dtype=dtype))  # would stop at 256 in bfloat16
        for found in (sums.total().sums, sums.total().squares, sums.total().products):
            assert found.item() == 5000
    many = Sums(with_products=False)
    for value in (2.0**24, 1.0, 1.0, 1.0):  # in single precision the ones would be lost
        many.add(torch.tensor([[value]]))
    assert many.total().sums.item() == 2**24 + 3


def has_hooks(of):
    return any(part._forward_pre_hooks or part._forward_hooks for part in of.modules())


@pytest.mark.parametrize("architecture", ["Bert", "GPT2", "T5"])
def test_neither_hooks_nor_passes_are_left_however_it_ends(architecture, monkeypatch):
    of, passes = calibrations.model(architecture), []
    run_on = calibrations.batches(of)
    monkeypatch.setattr(
        lockstep, "greenlet", lambda run: passes.append(greenlet(run)) or passes[-1]
    )

    def failing():
        for path in {matrix.block for matrix in calibrations.found(of)}:
            with monkeypatch.context() as patched:
                patched.setattr(of.get_submodule(path), "forward", lambda *_, **__: 1 / 0)
                refused(ZeroDivisionError, all_inputs, of, run_on)

    def thrown(found):
        next(found)
        assert (sum(map(bool, passes)), has_hooks(of)) == (len(run_on), True)
        refused(ZeroDivisionError, found.throw, ZeroDivisionError())

    closed, stopped, spent, hurt = (steps(of, run_on) for _ in range(4))
    ends = [closed.close, lambda: next(stopped) and stopped.close(), lambda: [*spent]]
    ends += [lambda: next(steps(of, run_on)), lambda: thrown(hurt), failing]
    for end in ends:
        end()
        whole = of(**run_on[0]).logits  # nor does a plain forward pass halt any more
        assert (any(passes), has_hooks(of), bool(whole.isfinite().all())) == (False, False, True)


def part(of):
    """What holds the first feed-forward matrix of a BERT."""
    return of.base_model.encoder.layer[0].intermediate


def see_more(of):
    """As behind a prompt that the model puts before each text: nobody knows where the text is."""
    whole = part(of).forward
    part(of).forward = lambda x: whole(torch.cat([x[:, :1], x], 1))[:, 1:]


FFN = "bert.encoder.layer.0.intermediate.dense.weight"
BROKEN = [  # what is done to a model, the matrix that is named, and what is said of it
    ("Llama", lambda of: setattr(of.config, "num_hidden_layers", 1), "model.layers.1.",
     "calibration never reached its block"),
    ("Bert", lambda of: setattr(part(of), "forward", lambda x: torch.cat([x, x], dim=-1)), FFN,
     "has no inputs"),
    ("Bert", see_more, FFN, "rows for"),
    *(("Bert", lambda of, bad=bad: part(of).dense.bias.data[3:4].fill_(bad),
       "bert.encoder.layer.0.output.dense.weight", "not finite") for bad in (torch.nan, torch.inf)),
]  # fmt: skip


@pytest.mark.parametrize(("architecture", "harm", "named", "said"), BROKEN)
def test_a_matrix_without_inputs_that_mean_something_is_named(architecture, harm, named, said):
    of = calibrations.model(architecture)
    harm(of)
    refusal = refused(RunError, all_inputs, of, calibrations.batches(of))
    assert (refusal[: len(named)], said in refusal, has_hooks(of)) == (named, True, False), refusal


def test_a_matrix_that_sees_padding_only_or_is_no_linear_layer_of_a_block_is_named():
    of, ids = calibrations.model("Bert"), torch.ones(2, 4, dtype=torch.long)
    padding = [{"input_ids": ids, "attention_mask": ids * 0}]
    refusal = refused(RunError, all_inputs, calibrations.model("GPT2"), padding)
    assert refusal.startswith("transformer.h.0.attn.c_attn.weight has no inputs")
    for name in CASES["no matrices"]:
        refusal = refused(RequestError, matrices, of, [*calibrations.in_scope(of), name])
        assert refusal.startswith(f"{name} is no linear layer")
        assert f"--exclude '{name}'" in refusal


def written(tmp_path, text, name="texts.txt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_a_tasks_texts_are_its_training_examples_if_it_has_any():
    """It is generated, or has a training part on the hub."""
    known = texts.tasks_with_texts()
    assert {"sst2", "sentiment"} <= {*known} < {*tasks.names()}
    for name in tasks.names():
        task = tasks.task(name)
        if task.train:
            form, examples = texts.of_task(name, 3)
            expected = [tasks.training_example(task, example) for example in task.train(7, 3)]
            assert (form, examples(7)) == (tasks.training_form(task), expected)
            assert texts.of_task(name, 4)[1](7) != expected
        if name not in known:
            assert (task.train, task.hub and task.hub.train) == (None, None)
            refusal = refused(RequestError, texts.of_task, name, 0)
            assert f"unknown calibration task '{name}'" in refusal
    assert "Did you mean 'headline'" in refused(RequestError, texts.of_task, "headlines", 0)


def test_a_files_texts_are_in_the_form_that_the_family_reads_or_refused_with_the_line(tmp_path):
    def read(path):
        return texts.of_file(path, "classification")(5)

    for name, text, family, count, expected in CASES["files"]:
        form = texts.form_of(family)
        assert form == FORMS.get(family, "text-to-text")
        assert texts.of_file(written(tmp_path, text, name), form)(count) == expected, text
    for text, said in CASES["wrong"]:
        path = written(tmp_path, text, "texts.jsonl")
        refusal = refused(RequestError, read, path)
        assert (str(path) in refusal, said in refusal) == (True, True), (said, refusal)
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("none.txt", "bytes.txt", ""):
        refusal = refused(RequestError, read, tmp_path / name)
        assert f"cannot read the calibration texts in {tmp_path / name}" in refusal


def started(architecture, start=2):
    """A tiny model whose decoder's start token is known, as published T5s' are."""
    of = calibrations.model(architecture)
    if of.config.is_encoder_decoder:
        of.config.decoder_start_token_id = start
    return of


def made(of, architecture, form, max_tokens, examples):
    """Batches of examples whose words are given by their ids, but for labels."""
    reader = mini.tokenizer(architecture)
    spelt = [
        {field: " ".join(reader.convert_ids_to_tokens([*map(int, text.split())]))
         for field, text in example.items() if field != "label"}
        for example in examples
    ]  # fmt: skip
    return batches.calibration_batches(of, reader, calibrations.texts(form, spelt, max_tokens))


@pytest.mark.parametrize(("asked", "expected"), CASES["batches"])
def test_texts_become_batches_that_the_model_runs_on(asked, expected):
    of = started(asked[0])
    (batch,) = made(of, *asked)
    assert {name: tensor.tolist() for name, tensor in batch.items()} == expected
    assert sorted(all_inputs(of, [batch])) == calibrations.in_scope(of)


@pytest.mark.parametrize("architecture", ["Bart", "Pegasus", "M2M100", "T5"])
def test_a_decoder_reads_what_it_reads_in_training_or_starts_with_padding(architecture):
    of, entered = started(architecture), []
    targets = [{"source": "5 6", "target": "7 8 9"}, {"source": "5", "target": "6"}]
    (batch,) = made(of, architecture, "text-to-text", 16, targets)
    of.get_decoder().register_forward_pre_hook(lambda *x: entered.append(x[2]), with_kwargs=True)
    labels = torch.tensor([[7, 8, 9, 1], [6, 1, encoding.IGNORED, encoding.IGNORED]])
    of(batch["input_ids"], batch["attention_mask"], labels=labels)
    of(**batch)
    trained, read = (kwargs["input_ids"] for kwargs in entered)
    real = batch["decoder_attention_mask"].bool()
    assert torch.equal(trained[real], read[real])
    assert real.tolist() == [[True] * 4, [True, True, False, False]]  # all but each text's last
    (batch,) = made(started(architecture, None), architecture, "text-to-text", 16, targets[:1])
    assert batch["decoder_input_ids"].tolist() == [[0, 7, 8, 9]]


def test_every_text_is_in_one_batch_with_those_of_about_its_length():
    words = [1 + i % 8 for i in range(120)]
    wanted = [{"first": " ".join(["5"] * number)} for number in words]
    run_on = made(started("Bert"), "Bert", "classification", 16, wanted)
    rows = batches.BATCH_TOKENS // 10  # eight words, a beginning and an end
    assert [len(batch["input_ids"]) for batch in run_on] == [rows, rows, 120 - 2 * rows]
    lengths = [batch["attention_mask"].sum(1) for batch in run_on]
    assert sorted(torch.cat(lengths).tolist()) == sorted(number + 2 for number in words)
    for longer, shorter in pairwise(lengths):
        assert longer.min() >= shorter.max()
    for form in ("classification", "causal", "text-to-text"):
        refusal = refused(RequestError, made, started("GPT2"), "GPT2", form, 16, [])
        assert "no calibration texts" in refusal


def test_causal_models_read_full_windows_of_texts_that_are_joined():
    """Against the windows cut by hand of the same ids; GPT-2's end of text is its beginning too."""
    spelt = [{"text": " ".join(["5", "6", "7", "8", "9"][: 1 + i % 5])} for i in range(40)]
    of, reader = started("GPT2"), mini.tokenizer("GPT2")
    words = [[reader.unk_token_id] * len(example["text"].split()) for example in spelt]
    stream = [i for ids in words for i in (2, *ids, 1)]
    whole = [stream[i : i + 16] for i in range(0, len(stream) - 15, 16)]
    asked = calibrations.texts("causal", spelt, 16)
    run_on = batches.calibration_batches(of, reader, asked)
    assert [row for b in run_on for row in b["input_ids"].tolist()] == whole
    assert all(batch["attention_mask"].all() for batch in run_on)
    told = {"packed": True, "windows": len(whole), "tokens": 16 * len(whole)}
    assert batches.facts(asked, run_on) == told
    reader.bos_token = reader.eos_token  # as GPT-2's own is
    few = [calibrations.texts("causal", spelt, 16, 2, seed) for seed in (0, 0, 1)]
    one, again, other = (batches.windows(reader, asked, 16) for asked in few)
    assert (len(one), one) == (2, again)
    assert one != other
    assert all(pair != (1, 1) for row in one for pair in pairwise(row))
    (short,) = batches.windows(reader, calibrations.texts("causal", spelt[:2], 16), 16)
    assert short == [1, *words[0], 1, *words[1], 1]


def test_a_folders_model_is_calibrated_in_single_precision_on_texts_by_the_seed(
    tmp_path, monkeypatch
):
    """Cut to the model's positions; a file that is called as a task is read. A folder without a
    tokenizer is refused: transformers would make one up that knows no word."""
    calibrations.model("Bert").bfloat16().save_pretrained(tmp_path / "model")

    def loads(given, seed=0):
        return loaded.calibration_of(tmp_path / "model", "encoder-only", given, seed)

    def ids(*given):
        run_on = loads(*given).batches(loads(*given).load())
        return [row for batch in run_on for row in batch["input_ids"].tolist()]

    assert "tokenizer" in refused(RequestError, loads, "sentiment")
    mini.tokenizer("Bert").save_pretrained(tmp_path / "model")
    of = loads("sentiment").load()
    assert (type(of), of.dtype) == (transformers.BertForMaskedLM, torch.float32)
    assert not of.training
    assert ids("sentiment", 1) == ids("sentiment", 1) != ids("sentiment", 2)
    (row,) = ids(str(written(tmp_path, "the food was good " * 20)))
    expected = 128, architectures.ENCODER["max_position_embeddings"]
    assert (len(ids("sentiment")), len(row)) == expected
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "the food was good", "sentiment")
    assert len(ids("sentiment")) == 1

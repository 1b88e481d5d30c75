"""Students of half the depth: their teacher's own blocks at first, then distilled."""

import math

import architectures
import mini
import numpy as np
import pytest
import torch
import transformers
from checkpoints import weights_sha256
from random_models import FAMILIES, KINDS, POSITIONS, answers, dense, made, random_model

from analysis.alternatives import student
from analysis.checkpoints import naming
from analysis.checkpoints.weights import read_weights
from analysis.errors import RequestError
from analysis.models.encoding import classification_batch
from analysis.models.loading import load_model
from analysis.steps.alternatives.student import distil_student
from analysis.steps.recovery.courses import course_on
from analysis.training.recovery import train_course

pytestmark = pytest.mark.usefixtures("one_thread")

ENCODER = {"num_hidden_layers": "encoder.layer"}
COURSE = {"examples": 16, "epochs": 1.0, "learning_rate": 5e-3, "batch_size": 8, "seed": 0}
COURSE |= {"training": None, "max_tokens": 256}
BOTH = {"encoder_layers": "encoder.layers", "decoder_layers": "decoder.layers"}
# the config's names of the depths, and where the blocks are
STACKS = {
    "Bert": ENCODER, "Roberta": ENCODER, "DebertaV2": ENCODER, "GPT2": {"n_layer": "h"},
    "Llama": {"num_hidden_layers": "layers"}, "Bart": BOTH, "Pegasus": BOTH, "M2M100": BOTH,
    "T5": {"num_layers": "encoder.block", "num_decoder_layers": "decoder.block"}}  # fmt: skip


def make(architecture, *depths):
    """A model of so many blocks in each stack, with random weights."""
    return random_model(architecture, **dict(zip(STACKS[architecture], depths, strict=False)))


def blocks(of, path):
    return getattr(of, of.base_model_prefix, of).get_submodule(path)


def copied(of):
    return {name: tensor.clone() for name, tensor in of.state_dict().items()}


def silence(teacher):
    """Make every other block add zeros: as good as gone, where nothing normalises the sum."""
    named = naming.weights(teacher.state_dict())
    for name, what in named.items():
        adds = what.kind == "ffn out" or what.kind.endswith("attention output")
        if adds and what.layer is not None and what.layer % 2:
            for part in (name, name.removesuffix("weight") + "bias"):
                if part in named:
                    teacher.get_parameter(part).data.zero_()


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_a_student_is_every_other_block_of_its_teacher_and_shares_nothing_with_it(architecture):
    teacher = make(architecture, 5, 4)
    if architecture in ("GPT2", "Llama", "Pegasus", "M2M100", "T5"):
        silence(teacher)
        batch = {"input_ids": torch.tensor([[5, 9, 7, 1]])}
        if teacher.config.is_encoder_decoder:
            batch["decoder_input_ids"] = batch["input_ids"]
        expected, got = answers(teacher, **batch), answers(student.halved(teacher), **batch)
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    state, depths = copied(teacher), student.depths(teacher.config)
    half = student.halved(teacher)
    assert (type(half), half.training) == (type(teacher), False)
    for depth, path in STACKS[architecture].items():
        whole = getattr(teacher.config, depth)
        assert getattr(half.config, depth) == math.ceil(whole / 2)
        ours, theirs = blocks(half, path), blocks(teacher, path)
        assert (len(ours), len(theirs)) == (math.ceil(whole / 2), whole)
        for i, block in enumerate(ours):
            expected = theirs[2 * i].state_dict()
            assert block.state_dict().keys() == expected.keys()
            assert all(torch.equal(t, expected[n]) for n, t in block.state_dict().items())
    for name, tensor in half.state_dict().items():
        assert naming.block_of(name) is not None or torch.equal(tensor, state[name])
    assert student.depths(half.config) == {n: math.ceil(depth / 2) for n, depth in depths.items()}
    if architecture in ("GPT2", "Bart", "T5"):
        assert half.get_output_embeddings().weight is half.get_input_embeddings().weight
    for parameter in half.parameters():
        parameter.data.zero_()
    assert all(torch.equal(t, state[n]) for n, t in teacher.state_dict().items())
    assert student.depths(teacher.config) == depths


def test_a_stack_of_one_block_stays_beside_one_that_is_halved_and_is_refused_alone():
    for depths in ((2, 1), (1, 2), (3, 2)):
        half = student.halved(make("Bart", *depths))
        assert [*student.depths(half.config).values()] == [math.ceil(d / 2) for d in depths]
    for architecture in STACKS:
        with pytest.raises(RequestError, match=r"^[^\n]* of one block has no half[^\n]*$"):
            student.halved(make(architecture, 1, 1))


def test_blocks_that_are_not_alike_or_not_counted_are_refused():
    teacher = make("Bert", 4)
    teacher.bert.encoder.layer[2].intermediate.dense = torch.nn.Linear(16, 7)
    with pytest.raises(RequestError, match=r"^[^\n]*cannot be halved by its blocks[^\n]*$"):
        student.halved(teacher)
    for depth in (None, 0, -1, "4", 2.0, True):
        config = transformers.BertConfig()
        object.__setattr__(config, "num_hidden_layers", depth)
        with pytest.raises(RequestError, match="does not say how many blocks"):
            student.depths(config)


def test_its_loss_falls_and_it_heeds_its_teacher_which_stays():
    """One teacher knows the examples, the other says the contrary; the student has its teacher's
    blocks, and its head anew."""
    tokens, found = mini.tokenizer("Bert"), []
    few = COURSE | {"epochs": 40.0, "examples": 8, "learning_rate": 1e-2}
    few = course_on(
        None, few | {"task": "sentiment"}
    )  # no objects: the language makes its examples
    batch = classification_batch(tokens, [e["first"] for e in few.examples], None, POSITIONS)
    teacher = made("bert")
    train_course(teacher, tokens, few.read_by(teacher, tokens), [])
    for _ in range(2):
        before, half = copied(teacher), student.halved(teacher)
        generator = torch.Generator().manual_seed(0)
        half.classifier.weight.data = torch.randn(2, 16, generator=generator) * 0.1
        losses = student.distil(half, teacher, tokens, few)
        assert len(losses) == 40
        assert all(torch.equal(t, before[n]) for n, t in teacher.state_dict().items())
        assert not half.training
        found.append(answers(half, **batch).softmax(-1))
        if len(found) == 1:
            assert np.mean(losses[-4:]) < 0.5 * losses[0]
        for parameter in teacher.classifier.parameters():
            parameter.data *= -1
    chosen = answers(teacher, **batch).argmax(-1)  # as at first
    right = [shares[range(len(chosen)), chosen].mean() for shares in found]
    assert right[0] > right[1] + 0.2


def student_of(objects, kind, **changed):
    """The step's record, and the student's folder."""
    course = {"task": KINDS[kind][4], **COURSE, **changed}
    record = distil_student(objects, **dense(objects, kind), course=course)
    return record, objects.open(record["checkpoint"]["object"])


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_step_writes_a_checkpoint_that_any_loader_opens(objects, kind):
    record, folder = student_of(objects, kind)
    weights, teacher = read_weights(folder), made(kind)
    assert record["weights_sha256"] == weights_sha256(weights)
    assert record["bytes"] == (folder / "model.safetensors").stat().st_size
    opened = type(teacher).from_pretrained(folder)
    loaded, tokens = load_model(folder, KINDS[kind][3], "cpu")
    assert type(opened) is type(loaded) is type(teacher)
    assert len(tokens) == len(mini.tokenizer(KINDS[kind][0]))
    stacks = 2 if kind == "bart" else 1
    assert record["layers"] == {"kept": stacks, "of": 2 * stacks}
    assert record["parameters"] == sum(p.numel() for p in loaded.parameters())
    prunable = [n for n, what in naming.weights(weights).items() if what.prunable]
    assert record["prunable_parameters"] == sum(weights[name].size for name in prunable)
    assert math.isfinite(record["final_loss"])
    assert record["train_seconds"] > 0
    assert isinstance(record["flush_denormal"], bool)
    started = student.halved(teacher).state_dict()
    assert any(not torch.equal(t, started[n]) for n, t in loaded.state_dict().items())


def test_the_same_seed_gives_the_same_student_and_what_cannot_be_trained_is_refused(objects):
    shas = [student_of(objects, "bert", seed=seed)[0]["weights_sha256"] for seed in (0, 0, 1)]
    assert shas[0] == shas[1] != shas[2]
    for changed, says in (({"epochs": 0.0}, "more than 0 epochs"), ({"task": "x"}, "unknown task")):
        with pytest.raises(RequestError, match=says):
            student_of(objects, "bert", **changed)

"""Students of half the depth: their teacher's own blocks at first, then distilled."""

import functools
import math

import architectures
import numpy as np
import pytest
import torch
import transformers

from analysis.alternatives import student
from analysis.errors import RequestError
from analysis.models import architectures as builtin
from analysis.models import naming
from analysis.models.encoding import classification_batch
from analysis.models.loading import load_model
from analysis.models.recovery import train_course
from analysis.models.weights import read_weights, weights_sha256
from analysis.objects import Objects
from analysis.steps.student import distil_student
from analysis.steps.trained import course_on

every_architecture = pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
ENCODER = {"num_hidden_layers": "encoder.layer"}
BOTH = {"encoder_layers": "encoder.layers", "decoder_layers": "decoder.layers"}
# the config's names of the depths, and where the blocks are
STACKS = {
    "Bert": ENCODER, "Roberta": ENCODER, "DebertaV2": ENCODER,
    "GPT2": {"n_layer": "h"},
    "Llama": {"num_hidden_layers": "layers"},
    "Bart": BOTH, "Pegasus": BOTH, "M2M100": BOTH,
    "T5": {"num_layers": "encoder.block", "num_decoder_layers": "decoder.block"},
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small only wait for their threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(architecture, *depths, kind=None):
    """A model of so many blocks in each stack, with random weights."""
    kind, sizes = (
        kind or architectures.ARCHITECTURES[architecture][0],
        dict(architectures.ARCHITECTURES[architecture][1]),
    )
    sizes |= dict(zip(STACKS[architecture], depths, strict=True))
    config = getattr(transformers, f"{architecture}Config")(**architectures.SMALL, **sizes)
    config.decoder_start_token_id = 2
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def deep(architecture, *depths):
    return make(architecture, *(depths or [5, 4][: len(STACKS[architecture])]))


def blocks(model, path):
    return getattr(model, model.base_model_prefix, model).get_submodule(path)


# -- halves ---------------------------------------------------------------------------------------


@every_architecture
def test_a_student_is_every_other_block_of_its_teacher(architecture):
    teacher = deep(architecture)
    half = student.halved(teacher)
    assert type(half) is type(teacher)
    assert not half.training
    for depth, path in STACKS[architecture].items():
        whole = getattr(teacher.config, depth)
        assert getattr(half.config, depth) == math.ceil(whole / 2)
        ours, theirs = blocks(half, path), blocks(teacher, path)
        assert (len(ours), len(theirs)) == (math.ceil(whole / 2), whole)
        for i, block in enumerate(ours):
            expected = theirs[2 * i].state_dict()
            assert block.state_dict().keys() == expected.keys()
            assert all(torch.equal(t, expected[n]) for n, t in block.state_dict().items())
    state = teacher.state_dict()
    for name, tensor in half.state_dict().items():
        if naming.block_of(name) is None:
            assert torch.equal(tensor, state[name])
    assert student.depths(half.config) == {
        name: math.ceil(depth / 2) for name, depth in student.depths(teacher.config).items()
    }


@every_architecture
def test_a_student_shares_nothing_with_its_teacher(architecture):
    teacher = deep(architecture)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    depths = student.depths(teacher.config)
    half = student.halved(teacher)
    with torch.no_grad():
        for parameter in half.parameters():
            parameter.zero_()
    assert all(torch.equal(t, before[n]) for n, t in teacher.state_dict().items())
    assert student.depths(teacher.config) == depths


@pytest.mark.parametrize("architecture", ["GPT2", "Llama", "Pegasus", "M2M100", "T5"])
def test_it_answers_as_its_teacher_where_the_other_blocks_do_nothing(architecture):
    """A block that adds zeros is as good as gone, in models that do not normalise what they add."""
    teacher = deep(architecture).eval()
    named = naming.weights(teacher.state_dict())
    with torch.no_grad():
        for name, parameter in teacher.named_parameters(remove_duplicate=False):
            what = named.get(name)
            if what is None or what.layer is None or not what.layer % 2:
                continue
            if what.kind == "ffn out" or what.kind.endswith("attention output"):
                parameter.zero_()
                bias = name.removesuffix("weight") + "bias"
                if bias in named:
                    teacher.get_parameter(bias).zero_()
    ids = torch.tensor([[5, 9, 7, 1]])
    batch = {"input_ids": ids}
    if teacher.config.is_encoder_decoder:
        batch["decoder_input_ids"] = ids
    with torch.no_grad():
        expected, got = teacher(**batch).logits, student.halved(teacher)(**batch).logits
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depths", [(2, 1), (1, 2), (3, 2)])
def test_a_stack_of_one_block_stays_beside_one_that_is_halved(depths):
    half = student.halved(deep("Bart", *depths))
    assert [*student.depths(half.config).values()] == [math.ceil(d / 2) for d in depths]


@every_architecture
def test_a_teacher_of_one_block_is_refused_in_one_line(architecture):
    with pytest.raises(RequestError, match="of one block has no half") as caught:
        student.halved(make(architecture, *[1] * len(STACKS[architecture])))
    assert "\n" not in str(caught.value)


def test_a_teacher_whose_blocks_have_lost_units_is_refused_in_one_line():
    teacher = deep("Bert", 4)
    smaller = torch.nn.Linear(16, 7)
    teacher.bert.encoder.layer[2].intermediate.dense = smaller
    with pytest.raises(RequestError, match="cannot be halved by its blocks") as caught:
        student.halved(teacher)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [None, 0, -1, "4", 2.0, True])
def test_a_config_that_says_no_depth_is_refused(depth):
    config = transformers.BertConfig()
    object.__setattr__(config, "num_hidden_layers", depth)
    with pytest.raises(RequestError, match="does not say how many blocks"):
        student.depths(config)


@pytest.mark.parametrize("architecture", ["GPT2", "Bart", "T5"])
def test_tied_heads_stay_tied(architecture):
    half = student.halved(deep(architecture))
    assert half.get_output_embeddings().weight is half.get_input_embeddings().weight


# -- distilled ------------------------------------------------------------------------------------


@functools.cache
def words(name):
    return builtin.build_tokenizer(name)


def classifier(architecture, name):
    """A classifier over a built-in tokenizer's words, without dropout."""
    tokens = words(name)
    kind, sizes = (
        f"{architecture}ForSequenceClassification",
        dict(architectures.ARCHITECTURES[architecture][1]),
    )
    special = {f"{x}_token_id": getattr(tokens, f"{x}_token_id") for x in ("pad", "bos", "eos")}
    longer = {"n_positions": 96} if architecture == "GPT2" else {"max_position_embeddings": 96}
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if architecture != "Bert":
        none = {"dropout": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    sizes |= special | longer | {"vocab_size": len(tokens)} | none
    torch.manual_seed(0)
    return getattr(transformers, kind)(getattr(transformers, f"{architecture}Config")(**sizes))


KINDS = {"Bert": "tiny-bert", "GPT2": "tiny-gpt2", "Bart": "tiny-bart"}
every_kind = pytest.mark.parametrize("architecture", KINDS)


def course(epochs=8.0, examples=16, learning_rate=5e-3):
    return course_on(
        None,  # no objects: the language makes its examples
        "sentiment",
        None,
        examples=examples,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=8,
        seed=0,
    )


@every_kind
def test_its_loss_falls_and_its_teacher_stays(architecture):
    """The teacher knows the examples; the student has its blocks, and its head anew."""
    teacher, tokens = classifier(architecture, KINDS[architecture]), words(KINDS[architecture])
    few = course(epochs=40.0, examples=8, learning_rate=1e-2)
    train_course(teacher, tokens, few, [])
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    half = student.halved(teacher)
    with torch.no_grad():
        for name, parameter in half.named_parameters():
            if naming.weight(name).part == "head" and parameter.ndim == 2:
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    losses = student.distil(half, teacher, tokens, few)
    assert len(losses) == 40
    assert np.mean(losses[-4:]) < 0.2 * losses[0]
    assert all(torch.equal(t, before[n]) for n, t in teacher.state_dict().items())
    assert not half.training


def test_it_heeds_its_teacher():
    """Of two teachers with opposite answers, each student comes nearer to its own."""
    tokens = words("tiny-bert")
    texts = [example["first"] for example in course().examples]
    batch = classification_batch(tokens, texts, None, 96)
    answers = []
    for sign in (1, -1):
        teacher = classifier("Bert", "tiny-bert")
        with torch.no_grad():
            teacher.classifier.bias.copy_(torch.tensor([sign * 4.0, 0.0]))
        half = student.halved(teacher)
        student.distil(half, teacher, tokens, course(epochs=2.0))
        with torch.no_grad():
            answers.append(half(**batch).logits.softmax(-1)[:, 0].mean())
    assert answers[0] > answers[1] + 0.2


def test_no_examples_are_refused():
    teacher = classifier("Bert", "tiny-bert")
    with pytest.raises(RequestError):
        student.distil(student.halved(teacher), teacher, words("tiny-bert"), course(epochs=0.0))


# -- the step -------------------------------------------------------------------------------------


def run(tmp_path, architecture, **changed):
    name = KINDS[architecture]
    objects = Objects(tmp_path / "objects")
    with objects.scratch() as scratch:
        teacher = classifier(architecture, name)
        teacher.save_pretrained(scratch / "teacher")
        words(name).save_pretrained(scratch / "teacher")
        digest = objects.adopt(scratch / "teacher")
    options = {
        "task": "sentiment",
        "training": None,
        "examples": 16,
        "epochs": 1.0,
        "learning_rate": 5e-3,
        "batch_size": 8,
        "seed": 0,
        "device": "cpu",
    }
    record = distil_student(
        objects, checkpoint=digest, weights_sha256="", threads=1,
        **options | changed,
    )  # fmt: skip
    return teacher, record, objects.open(record["checkpoint"]["object"])


@every_kind
def test_the_step_writes_a_checkpoint_that_any_loader_opens(tmp_path, architecture):
    teacher, record, folder = run(tmp_path, architecture)
    assert record["weights_sha256"] == weights_sha256(read_weights(folder))
    opened = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    loaded, tokens = load_model(folder, "classification", "cpu")
    assert type(opened) is type(loaded) is type(teacher)
    assert len(tokens) == len(words(KINDS[architecture]))
    stacks = len(STACKS[architecture])
    assert record["layers"] == {"kept": stacks, "of": 2 * stacks}
    assert record["parameters"] == sum(p.numel() for p in loaded.parameters())
    named = naming.weights(loaded.state_dict())
    prunable = sum(loaded.state_dict()[n].numel() for n, what in named.items() if what.prunable)
    assert record["prunable_parameters"] == prunable
    assert 0 < record["final_loss"] < 10
    assert record["train_seconds"] > 0
    assert isinstance(record["flush_denormal"], bool)
    started = student.halved(teacher).state_dict()
    assert any(not torch.equal(t, started[n]) for n, t in loaded.state_dict().items())


def test_the_same_seed_gives_the_same_student(tmp_path):
    digests = [
        run(tmp_path / str(i), "Bert", seed=seed)[1]["weights_sha256"]
        for i, seed in enumerate((0, 0, 1))
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"epochs": 0.0}, "more than 0 epochs"), ({"task": "x"}, "unknown task")],
)
def test_the_step_refuses_what_it_cannot_train(tmp_path, changed, message):
    with pytest.raises(RequestError, match=message):
        run(tmp_path, "Bert", **changed)

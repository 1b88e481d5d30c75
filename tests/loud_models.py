"""Tiny models whose weights are so large that each tells in their answers, with tasks for them."""

import functools
from dataclasses import replace

import architectures
import mini
import transformers
from random_models import loud

from analysis.tasks import Task

PLAIN = Task(title="a task", measures="", form="", inputs=("text",), target=None, metrics=())
ONE = replace(PLAIN, form="classification", target="label")
PAIR = replace(ONE, inputs=("text", "other"))
CAUSAL = replace(PLAIN, form="causal", scores_end=True)
MASKED = replace(PLAIN, form="masked", title="pseudo-perplexity")
CLOZE = replace(PLAIN, form="cloze", target="last")
WRITTEN = replace(PLAIN, form="text-to-text", target="other", max_new_tokens=5)
CASES = {  # class, architecture, task
    "bert": ("BertForSequenceClassification", "Bert", PAIR),
    "roberta": ("RobertaForSequenceClassification", "Roberta", ONE),
    "deberta": ("DebertaV2ForSequenceClassification", "DebertaV2", replace(PAIR, max_tokens=9)),
    "gpt2-classifier": ("GPT2ForSequenceClassification", "GPT2", PAIR),
    "bart-classifier": ("BartForSequenceClassification", "Bart", PAIR),
    "t5-classifier": ("T5ForSequenceClassification", "T5", ONE),
    "gpt2": ("GPT2LMHeadModel", "GPT2", CAUSAL),
    "llama": ("LlamaForCausalLM", "Llama", replace(CAUSAL, scores_end=False)),
    "cloze": ("GPT2LMHeadModel", "GPT2", CLOZE),
    "cut-cloze": ("GPT2LMHeadModel", "GPT2", replace(CLOZE, max_tokens=9)),
    "masked-bert": ("BertForMaskedLM", "Bert", MASKED),
    "masked-roberta": ("RobertaForMaskedLM", "Roberta", MASKED),
    "masked-deberta": ("DebertaV2ForMaskedLM", "DebertaV2", replace(MASKED, max_tokens=4)),
    "bart": ("BartForConditionalGeneration", "Bart", WRITTEN),
    "t5": ("T5ForConditionalGeneration", "T5", replace(WRITTEN, prompt="{other} {text}")),
    "pegasus": ("PegasusForConditionalGeneration", "Pegasus", replace(WRITTEN, max_tokens=9)),
    "m2m100": ("M2M100ForConditionalGeneration", "M2M100", replace(WRITTEN, beams=3)),
}
READS_AT_MOST = {"Roberta": 19, "T5": None}  # tokens; the others 20
SEED = 13  # one with which every model tells examples apart
# "##" continues a word: "abcd" is a ##b ##cd
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "c", "##b", "##cd", "##a", ".", "e"]


@functools.cache
def in_pieces():
    """A tokenizer of words in pieces, framed as BERT frames a text."""
    return transformers.BertTokenizerFast(vocab={piece: i for i, piece in enumerate(PIECES)})


@functools.cache
def opened(case):
    """The model, a tokenizer and the task, which no test changes for good."""
    name, architecture, task = CASES[case]
    sizes = architectures.SMALL | {"decoder_start_token_id": 2, "num_labels": 12}
    model = loud(name, SEED, **sizes | architectures.ARCHITECTURES[architecture][1])
    framing = "GPT2" if task.form in ("causal", "cloze") else architecture
    return model, in_pieces() if task.form == "masked" else mini.tokenizer(framing), task

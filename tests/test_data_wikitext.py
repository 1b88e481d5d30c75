"""WikiText put together again: articles, sentences, and text as it would be printed."""

import re

from hypothesis import given
from hypothesis import strategies as st

from analysis.tasks.wikitext import articles, detokenised, sentences

TOKENS = ["word", "12", "<unk>", "James", *"()[],.;:!?", "...", '"', "'", "'s", "n't",
          "@-@", "@,@", "@.@", *"=–%$°é"]  # fmt: skip
PRINTED = {
    "a well @-@ known man": "a well-known man", "1 @,@ 234 @.@ 5 km": "1,234.5 km",
    "In life , the lobsters are blue .": "In life, the lobsters are blue.",
    "of 60 cm ( 24 in ) and a [ note ] .": "of 60 cm (24 in) and a [note].",
    'he said , " it \'s so . " Then': 'he said, "it\'s so." Then',
    "the writers ' house , which is n't new": "the writers' house, which isn't new",
    "James 's ; at 5 : 30": "James's; at 5: 30", "a <unk> of <unk> .": "a <unk> of <unk>.",
    "= = Early life = =": "== Early life ==", "= = = A = = =": "=== A ===",
    "so ... he went": "so... he went", "it cost $ 5 , or 10 % .": "it cost $5, or 10%.",
}  # fmt: skip


def rows(text):
    return [{"text": line} for line in text.split("\n")]


def test_a_line_is_put_together_as_it_would_be_printed():
    assert {tokens: detokenised(tokens) for tokens in PRINTED} == PRINTED


@given(st.lists(st.sampled_from(TOKENS), max_size=25).map(" ".join))
def test_nothing_but_blanks_and_marks_is_taken_away(line):
    """What is left is in the order it was, so that the likelihood is that of the same text."""
    found = detokenised(line)
    unmarked, kept = (re.sub(r"@([-,.])@", r"\1", text) for text in (line, found))
    assert kept.replace(" ", "") == unmarked.replace(" ", "")
    assert len(found) <= len(line)


def test_articles_begin_at_titles_and_keep_their_paragraphs():
    text = """the end of one cut off .

 = A , the first =\x20

 It is @-@ so .
 And more .

 = = Its life = =\x20

 Long .
 = x + 1 =\x20

 = B =\x20

 Short ."""
    found = articles(rows(text))
    first = "= A, the first =\n\nIt is-so.\nAnd more.\n\n== Its life ==\n\nLong.\n= x + 1 ="
    begins = [example["text"].split("\n")[0] for example in found]
    assert begins == ["the end of one cut off.", "= A, the first =", "= B ="]
    assert (found[1]["text"], [example["words"] for example in found]) == (first, [7, 27, 5])


def test_sentences_are_whole_and_of_middle_length():
    line = " A short one . This sentence has more than five words . " + "w " * 41 + ". And"
    found = sentences([{"text": line}, {"text": " = A title of many words . = "}, {"text": ""}])
    assert found == [{"text": "This sentence has more than five words.", "words": 8}]

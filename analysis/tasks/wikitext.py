"""WikiText (Merity et al. 2017): its lines joined to articles, its tokens to the text they were.

The data set separates tokens by blanks and marks hyphens and separators within numbers, "@-@" and
"@,@". GPT-2's paper (Radford et al. 2019, section 3.1) reports the perplexity of text that was
put together again by reversible rules, per token of the data set as it was.
"""

import re
from collections.abc import Iterator, Sequence

from analysis.tasks import Example, HubData, Row

DATA = HubData(
    "Salesforce/wikitext",
    "wikitext-2-raw-v1",
    "b08601e04326c79dfdd32d625aee71d232d685c3",
    examples=280,
    train_examples=2_400,
)
LICENCE = "CC BY-SA 3.0 and GFDL"

_TITLE = re.compile(r"= [^=](.*[^=])? =")
_SENTENCE_END = re.compile(r"(?<= [.!?]) +(?=\S)")
# in this order; blanks are all that they take away
_RULES = [
    (re.compile(pattern), joined)
    for pattern, joined in (
        (r" @([-,.])@ ", r"\1"),  # hyphens, and separators within numbers
        (r" ([,;:!?]|\.{1,3})(?= |$)", r"\1"),
        (r" ('(?:s|S|t|d|m|re|ve|ll))(?= |$|[,;:.!?])", r"\1"),
        (r" (n't)(?= |$|[,;:.!?])", r"\1"),
        (r"(?<=s) ' ", "' "),  # of many owners
        (r"([(\[{]) +", r"\1"),
        (r" +([)\]}])", r"\1"),
        (r'" +([^"\n]*?) +"', r'"\1"'),
        (r"(?<= )' +([^'\n]*?) +'", r"'\1'"),
        (r" (°|%)(?= |$|[,;:.!?])", r"\1"),
        (r"([$£€#]) (?=\d)", r"\1"),
        (r"(?<==) (?==)", ""),  # headings: "= = Life = ="
    )
]


def articles(rows: Sequence[Row]) -> list[Example]:
    """Whole articles of consecutive lines: `text`, and `words`, its tokens in the data set.

    A new one begins at a title, "= Title =" between empty lines. Lines before the first title, as
    where a file is divided, are an article too. Paragraphs and headings keep their lines.
    """
    return [
        {"text": text, "words": len(" ".join(lines).split())}
        for lines in _by_article([str(row["text"]).strip() for row in rows])
        if (text := "\n".join(map(detokenised, lines)).strip())
    ]


def sentences(rows: Sequence[Row], fewest: int = 5, most: int = 40) -> list[Example]:
    """Sentences of running text of so many tokens: `text`, and `words`, its tokens."""
    return [
        {"text": detokenised(sentence), "words": len(sentence.split())}
        for row in rows
        for sentence in _SENTENCE_END.split(str(row["text"]).strip())
        if not sentence.startswith("= ")
        and sentence[-1:] in (".", "!", "?")
        and fewest <= len(sentence.split()) <= most
    ]


def detokenised(line: str) -> str:
    """A line as it would be printed: only white space, and the marks "@", are taken away.

    "<unk>", which stands for rare words where the data set is not the raw one, stays.
    """
    for pattern, joined in _RULES:
        line = pattern.sub(joined, line)
    return line.strip()


def _by_article(lines: Sequence[str]) -> Iterator[list[str]]:
    article: list[str] = []
    around = ["", *lines, ""]
    for before, line, after in zip(around, lines, around[2:], strict=False):
        if _TITLE.fullmatch(line) and not before and not after:
            yield article
            article = []
        article.append(line)
    yield article

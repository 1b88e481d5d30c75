"""Languages that a model translates between, by the codes of its own tokenizer.

M2M100, NLLB and mBART-50 begin a translation with the code of its language, mBART starts from it,
and Marian and MADLAD read it in front of the source.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from analysis.errors import RequestError

_CODE = re.compile(r"(?:__)?([a-z]{2,3}(?:_[A-Za-z]{2,4})?)(?:__)?")  # fr, fr_XX, fra_Latn
_TAG = re.compile(r"(?:>>|<2)([A-Za-z]{2,3}(?:[_-][A-Za-z]+)*)(?:<<|>)")  # >>fra<<, <2fr>
_STARTS = ("MBartTokenizer", "MBartTokenizerFast", "PLBartTokenizer")  # from the target's code
_SHOWN = 300  # codes that an error lists
# two letters (ISO 639-1) and the three by which NLLB and Marian call the same
_PAIRS = """
af:afr am:amh ar:arb as:asm az:azj ba:bak be:bel bg:bul bm:bam bn:ben bo:bod bs:bos ca:cat
cs:ces cy:cym da:dan de:deu dz:dzo ee:ewe el:ell en:eng eo:epo es:spa et:est eu:eus fa:pes
ff:fuv fi:fin fj:fij fo:fao fr:fra ga:gle gd:gla gl:glg gn:grn gu:guj ha:hau he:heb hi:hin
hr:hrv ht:hat hu:hun hy:hye id:ind ig:ibo is:isl it:ita ja:jpn jv:jav ka:kat kg:kon ki:kik
kk:kaz km:khm kn:kan ko:kor ku:kmr ky:kir lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lv:lvs
mg:plt mi:mri mk:mkd ml:mal mn:khk mr:mar ms:zsm mt:mlt my:mya ne:npi nl:nld nn:nno no:nob
ny:nya oc:oci om:gaz or:ory pa:pan pl:pol ps:pbt pt:por qu:quy ro:ron ru:rus rn:run rw:kin
sa:san sc:srd sd:snd si:sin sk:slk sl:slv sm:smo sn:sna so:som sq:als sr:srp ss:ssw st:sot
su:sun sv:swe sw:swh ta:tam te:tel tg:tgk th:tha ti:tir tk:tuk tl:tgl tn:tsn tr:tur ts:tso
tt:tat tw:twi ug:uig uk:ukr ur:urd uz:uzn vi:vie wo:wol xh:xho yi:ydd yo:yor zh:zho zu:zul
"""
# other codes of these: withdrawn ones, those of a macrolanguage, those of ISO 639-2/B
_OTHERS = """
nb:nob iw:heb in:ind ji:ydd jw:jav mo:ron fil:tgl
ara:arb aze:azj fas:pes per:pes ful:fuv kur:kmr lav:lvs mlg:plt mon:khk msa:zsm may:zsm nep:npi
nor:nob ori:ory orm:gaz pus:pbt que:quy sqi:als alb:als swa:swh uzb:uzn yid:ydd
arm:hye baq:eus bur:mya chi:zho cze:ces dut:nld fre:fra geo:kat ger:deu gre:ell ice:isl mac:mkd
mao:mri rum:ron slo:slk tib:bod wel:cym
"""
_THREE = dict(pair.split(":") for pair in (_PAIRS + _OTHERS).split())
# Chinese is told apart by its script in some tokenizers, by a country in others
_SCRIPTS = {"cn": "hans", "sg": "hans", "tw": "hant", "hk": "hant", "mo": "hant"}
_COUNTRY = 2  # letters; a script has four


def set_languages(tokenizer: PreTrainedTokenizerBase, languages: Sequence[str] | None) -> None:
    """Tell the tokenizer what it translates from and to, if it is one that has to know.

    languages   two codes, the tokenizer's own or those of ISO 639 ("fr", "fra"); none or empty
                leaves the tokenizer as it came

    Raises RequestError, with the tokenizer's codes, for a language that it does not have.
    """
    if not languages:
        return
    source, target = languages
    if codes := _codes(tokenizer):
        own = [_own(tokenizer, codes, language) for language in (source, target)]
        tokenizer.src_lang, tokenizer.tgt_lang = own
    elif tags := _tags(tokenizer):
        tokenizer.tgt_lang = _own(tokenizer, tags, target)


def tagged(tokenizer: PreTrainedTokenizerBase, sources: Sequence[str]) -> list[str]:
    """The sources as the tokenizer reads them: with the target's tag in front, where it has one."""
    language = getattr(tokenizer, "tgt_lang", None)
    tag = _tags(tokenizer).get(language) if language and not _codes(tokenizer) else None
    return [f"{tag} {source}" if tag else source for source in sources]


def first_tokens(model: Any, tokenizer: Any, languages: Sequence[str] | None) -> dict[str, int]:
    """What `generate` is told so that it writes in the language that the tokenizer was set to.

    languages   as for `set_languages`, None for what is no translation

    Raises RequestError if a translation's languages have to be named and are not.
    """
    codes = _codes(tokenizer)
    settings = model.generation_config
    starts = type(tokenizer).__name__ in _STARTS
    if languages:
        if not codes:
            return {}
        token = tokenizer.convert_tokens_to_ids(codes[tokenizer.tgt_lang])
        return {"decoder_start_token_id" if starts else "forced_bos_token_id": token}
    known = starts or getattr(settings, "forced_bos_token_id", None) is not None
    if languages is not None and ((codes and not known) or _tags(tokenizer)):
        raise RequestError(
            f"{type(tokenizer).__name__} translates between several languages; name them, as"
            " `languages: [from, to]` of the task's data in a study, or --languages from,to:"
            f" {_listed(codes or _tags(tokenizer))}"
        )
    return {}


def _codes(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Code -> token, of a tokenizer that is set to a source and a target language."""
    if not hasattr(tokenizer, "src_lang"):
        return {}
    known: Mapping[str, str] | None = getattr(tokenizer, "lang_code_to_token", None)
    if known:
        return dict(known)
    special = {*map(str, tokenizer.all_special_tokens), *tokenizer.get_added_vocab()}
    found = {token: _CODE.fullmatch(token) for token in special}
    return {match.group(1): token for token, match in sorted(found.items()) if match}


def _tags(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Code -> tag, of a tokenizer that reads the target's in front of the source."""
    if "T5" in type(tokenizer).__name__:
        known = [token for token in tokenizer.get_vocab() if token.startswith("<2")]
    else:
        known = getattr(tokenizer, "supported_language_codes", [])
    found = {token: _TAG.fullmatch(token) for token in known}
    return {match.group(1): token for token, match in sorted(found.items()) if match}


def _own(tokenizer: Any, codes: Mapping[str, str], language: str) -> str:
    """The tokenizer's code for a language. Raises RequestError if it has none, or several."""
    asked = language.strip()
    for code in codes:
        if code.casefold() == asked.casefold():
            return code
    name, script = _parts(asked)
    alike = {code: _parts(code)[1] for code in codes if _parts(code)[0] == name}
    found = [code for code, written in alike.items() if written == script] or [
        code for code, written in alike.items() if _agree(script, written)
    ]
    if len(found) == 1:
        return found[0]
    what = f"has {' and '.join(found)} for" if found else "does not know"
    raise RequestError(
        f"{type(tokenizer).__name__} {what} the language {language!r}; its codes are"
        f" {_listed(codes)}"
    )


def _parts(code: str) -> tuple[str, str]:
    """The language in three letters where that is known, and what follows it: script or country."""
    language, _, script = code.casefold().replace("-", "_").partition("_")
    name = _THREE.get(language, language)
    if name == "zho":
        script = _SCRIPTS.get(script, script)
    return _THREE.get(name, name), "" if script == "xx" else script


def _agree(asked: str, written: str) -> bool:
    """Whether two scripts or countries can be of one text; a country says nothing of a script."""
    one_is_country = (len(asked) == _COUNTRY) != (len(written) == _COUNTRY)
    return not asked or not written or asked == written or one_is_country


def _listed(codes: Mapping[str, str]) -> str:
    return ", ".join(list(codes)[:_SHOWN])

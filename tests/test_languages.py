"""Languages are told by the codes of a model's own tokenizer."""

from types import SimpleNamespace

import pytest
import transformers
from architectures import BOTH
from random_models import loud

from analysis.errors import RequestError
from analysis.models.languages import first_tokens, set_languages, tagged
from analysis.replicas.tokenizers import write_tokenizer
from analysis.scoring.predict import predict, prepare
from analysis.tasks import task

SETTINGS = SimpleNamespace(generation_config=SimpleNamespace(forced_bos_token_id=None))
WORDS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "▁": 4, "a": 5, "b": 6}
TOKENIZERS = {  # what makes it, its codes of English and French, what begins a translation
    "nllb": (lambda _: transformers.NllbTokenizer(vocab=WORDS, merges=[]),
             ("eng_Latn", "fra_Latn"), "forced_bos_token_id"),
    "mbart50": (lambda _: transformers.MBart50Tokenizer(), ("en_XX", "fr_XX"),
                "forced_bos_token_id"),
    "mbart": (lambda _: transformers.MBartTokenizer(), ("en_XX", "fr_XX"),
              "decoder_start_token_id"),
    "m2m100": (lambda folder: write_tokenizer("m2m_100", 64, folder), ("en", "fr"),
               "forced_bos_token_id"),
}  # fmt: skip

ALIASES = {"zh_Hant": "zho_Hant", "zh_CN": "zho_Hans", "zh-TW": "zho_Hant", "nb": "nob_Latn",
           "no": "nob_Latn", "pt_BR": "por_Latn", "iw": "heb_Hebr", "ger": "deu_Latn",
           "ara": "arb_Arab"}  # fmt: skip


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_language_by_any_of_its_names_is_the_tokenizers_own(name, tmp_path):
    make, own, beginning = TOKENIZERS[name]
    tokenizer = make(tmp_path)
    english, french = tokenizer.convert_tokens_to_ids(
        [f"__{code}__" if name == "m2m100" else code for code in own]
    )
    for languages in (("en", "fr"), ("eng", "fra"), own):
        set_languages(tokenizer, languages)
        assert english in tokenizer("a")["input_ids"]
        assert french in tokenizer(text_target="a")["input_ids"]
        assert first_tokens(SETTINGS, tokenizer, languages) == {beginning: french}
    with pytest.raises(RequestError, match=f"'tlh'; its codes are .*{own[1]}"):
        set_languages(tokenizer, ("en", "tlh"))
    for alias in ("en_US", "fre", "fr-CA"):
        set_languages(tokenizer, (alias, alias))
    if name == "nllb":
        with pytest.raises(RequestError, match="zho_Hans and zho_Hant for"):
            set_languages(tokenizer, ("en", "zh"))
        for asked, own in ALIASES.items():
            set_languages(tokenizer, ("en", asked))
            assert tokenizer.tgt_lang == own
    if beginning != "decoder_start_token_id":
        with pytest.raises(RequestError, match=r"name them.*languages"):
            first_tokens(SETTINGS, tokenizer, ())
    assert first_tokens(SETTINGS, tokenizer, None) == {}  # summaries


def test_a_tag_stands_in_front_of_the_source():
    class Marian:
        supported_language_codes = (">>fra<<", ">>deu<<")

    tokenizer = Marian()
    with pytest.raises(RequestError, match="fra"):
        first_tokens(SETTINGS, tokenizer, ())
    set_languages(tokenizer, ("en", "fr"))
    assert tagged(tokenizer, ["a b"]) == [">>fra<< a b"]
    assert first_tokens(SETTINGS, tokenizer, ("en", "fr")) == {}


@pytest.mark.usefixtures("one_thread")
def test_what_nllb_writes_begins_with_the_languages_code_as_its_own_generation_has_it():
    tokenizer = TOKENIZERS["nllb"][0](None)
    ids = {"decoder_start_token_id": 2, "eos_token_id": 2, "pad_token_id": 1}
    sizes = BOTH | {"vocab_size": len(tokenizer)}
    model = loud("M2M100ForConditionalGeneration", **ids, **sizes)
    own = task("translation", {"languages": ["en", "fr"]})
    examples = [{"source": text, "target": "a"} for text in ("a b", "b", "b a a")]
    model.generation_config.max_length = 6
    found = predict(model, tokenizer, own, prepare(model, tokenizer, own, examples, 2))
    code, alone = tokenizer.convert_tokens_to_ids("fra_Latn"), []
    tokenizer.src_lang = "eng_Latn"
    for example in examples:
        read = tokenizer(example["source"], return_tensors="pt")
        ids = model.generate(**read, forced_bos_token_id=code)
        assert ids.shape[1] <= 6  # max_length counts the token that begins
        alone.append(tokenizer.decode(ids[0], skip_special_tokens=True).strip())
    assert found == alone

"""Tiny random models of the real architectures."""

import transformers

SMALL = {"vocab_size": 60, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
ENCODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
ENCODER |= {"intermediate_size": 32, "max_position_embeddings": 20}
BOTH = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2}
BOTH |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
BOTH |= {"max_position_embeddings": 20}
ARCHITECTURES = {
    "Bert": ("BertForMaskedLM", ENCODER),
    "Roberta": ("RobertaForMaskedLM", ENCODER),
    "DebertaV2": ("DebertaV2ForMaskedLM", ENCODER),
    "GPT2": ("GPT2LMHeadModel", {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 20}),
    "Llama": ("LlamaForCausalLM", ENCODER),
    "Bart": ("BartForConditionalGeneration", BOTH),
    "Pegasus": ("PegasusForConditionalGeneration", BOTH),
    "M2M100": ("M2M100ForConditionalGeneration", BOTH),
    "T5": ("T5ForConditionalGeneration",
           {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 2, "num_heads": 2}),
}  # fmt: skip

NARROW = ENCODER | {"embedding_size": 8}
# of which calibration has to find out how their blocks run
OTHERS = {
    "Albert": ("AlbertForMaskedLM", NARROW | {"num_hidden_layers": 4, "num_hidden_groups": 2}),
    "FNet": ("FNetForMaskedLM", ENCODER | {"type_vocab_size": 2}),
    "ConvBert": ("ConvBertForMaskedLM", NARROW),
    "MobileBert": ("MobileBertForMaskedLM", NARROW | {"intra_bottleneck_size": 8}),
    "Funnel": ("FunnelForMaskedLM", {"d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32,
                                     "block_sizes": [1, 1], "num_decoder_layers": 1}),
    "Longformer": ("LongformerForMaskedLM", ENCODER | {"attention_window": 4}),
    "OPT": ("OPTForCausalLM", {"hidden_size": 16, "num_hidden_layers": 2, "ffn_dim": 32,
                               "num_attention_heads": 2, "word_embed_proj_dim": 16}),
    "FSMT": ("FSMTForConditionalGeneration",
             BOTH | {"src_vocab_size": 60, "tgt_vocab_size": 60, "langs": ["en", "de"]}),
    "ProphetNet": ("ProphetNetForConditionalGeneration",
                   {"hidden_size": 16, "num_encoder_layers": 2, "num_decoder_layers": 2,
                    "num_encoder_attention_heads": 2, "num_decoder_attention_heads": 2,
                    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}),
}  # fmt: skip


def model(architecture: str) -> transformers.PreTrainedModel:
    """A model of that architecture, with random weights."""
    kind, sizes = (ARCHITECTURES | OTHERS)[architecture]
    config = getattr(transformers, f"{architecture}Config")(**SMALL, **sizes)
    return getattr(transformers, kind)(config)

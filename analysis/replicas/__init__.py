"""Random models of published shapes, for rehearsals.

`replica` writes one, its weights by `random_weights`, block by block, its tokenizer by `tokenizers`
with the special tokens of its type.
"""

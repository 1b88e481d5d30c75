"""Alternatives whose modules the architecture lacks, a kind each (see `models.alternative`).

The safetensors file of such a model holds all of its tensors, so that its bytes are the model's. A
kind is a module here with

    CPU_ONLY                        whether its modules compute on the CPU alone
    plain(tensors, facts)           the float32 weights that the architecture knows, by name
    attach(model, tensors, facts)   puts the kind's own modules into a model filled with these

where tensors are the file's, and facts what stands in the note.
"""

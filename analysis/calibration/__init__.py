"""What goes into each linear layer of a model, on calibration texts, block after block.

`texts` and `batches` are what is run, `padding` is told from tokens; `lockstep` halts the model's
own forward pass at each block; `matrices` finds its linear layers, `inputs` sums up what goes into
them. It knows no methods: `pruning` and `alternatives` use it.
"""

EXAMPLES, TOKENS = 128, 512  # that are looked at, unless a study says otherwise

"""Files of weights: what is in them, by what names, of what types; no model is opened.

reading    `checkpoint` (a folder's tensors, placed), `tensors` (their bytes), `config`,
           `trust`; `published`, fetched from the hub
meaning    `naming` (part, layer and kind from a name), `axes` (which are stored [in, out]),
           `parameters` (buffers and ties told apart), `opened` (all of it)
scope      `choice` (what a method may prune), `outside` (what of the blocks is beyond it)
content    `digests` and `content`, of the weights whatever their shards
writing    `weights`, `widening` (types as numbers and back), `beside` (the other files)
"""

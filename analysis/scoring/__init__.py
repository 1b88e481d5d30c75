"""How answers are had, scored, and given intervals.

`predict` asks a model over a `form` of task (`labels`, `likelihood`, `masked`, `writing`), in
`batches` with `padding`. `statistics` has each metric as sums over examples, light, for `intervals`
and experiments; `metrics` has it by its reference library.
"""

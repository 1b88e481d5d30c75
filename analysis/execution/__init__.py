"""How models run from their non-zeros, and how long that takes; see `docs/running.md`.

It knows no checkpoints and no tasks, and takes any torch module. From below: `pool` lends torch's
threads, `kernels` are the compiled loops over a `csr` matrix, `products` what can multiply at all
(by `names`), `semi_structured` what a GPU can; `contest` finds the fastest of several, `choice`
remembers which, `layers` and `convert` make a whole model run so. `timing` measures.
"""

"""What a study does to a model: one light file an experiment.

A file says what goes into its steps (the calls, and so their keys), what comes out of their records
(variants, rows) and what a plan foresees:

    STEPS   what is known of each of its steps before it has run (`contract.Step`), by its name
    RANK, parts(work)   of one that adds variants to a dense model: where they stand in tables, and
            the coroutines that make them, each of which gives variants and rows (`work.Found`)

The heavy step has the same name in `steps/` and is named as a string: nothing here imports it.
`contract`, `work`, `variant`, `costs`, `amounts` and `placement` are what experiments share;
`catalogue` finds them.
"""

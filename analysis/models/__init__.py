"""Models of transformers: loading any of them for a form of task, and what their rows look like.

    opening    `loading` (any checkpoint, with units removed or as an `alternative`), by `opening`,
               the one place where transformers reads files, and `filling`, from tensors; `classes`
    inputs     `tokenizing`, `encoding` (rows of ids for each form of task), `languages`
    outputs    `heads`, which output is which class
    kinds      `family` (of a config alone), `families` (random ones of each), `catalogue` (the
               built-in ones), `shapes/` (of published ones), `units` (neurons, heads)

Studies and experiments use what imports no torch: `catalogue`, `family` and `alternative`.
"""

"""What runs steps and remembers them: it knows nothing of models, and imports errors alone.

    the cache     `memo` (a step is computed once for its call), `code` (the part of a key that is
                  code), `objects` (files by the digest of their content), `cachefiles`
    a run         `runner`, `workers`, `progress` and `display`
    the machine   `machine`, `limits`, `gpus`, `memory`, `threads`, `compiled`
    survival      `processes`, `stopping`, `streams`, `locks`, `files` that are whole or not there
    places        `registry`, what is found by its file; `project`, where things lie

Every room may use it, but a study neither `memo` nor `runner`.
"""

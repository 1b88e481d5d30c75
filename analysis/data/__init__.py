"""Where a real task's examples come from: a data set of the hub, or files of this disk.

`reading` takes a plain description of where rows are; `hub` and `files` are the two places,
`delimited` cells and `records` with names the two forms. `examples` makes a task's examples of rows
and checks each. The tasks themselves say what a row must have.
"""

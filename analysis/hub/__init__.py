"""What models and data sets of a hub share: listing a repository, its cache, errors in one line.

`names` and `repository` say how one is called; `snapshots` lists it, and fetches its files into the
user's own cache; `errors` has one line for what its client raises. `checkpoints.published` and
`data.hub` are what the others use.
"""

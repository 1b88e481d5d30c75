"""The machine, the libraries and the steps of a run, and what of it failed."""

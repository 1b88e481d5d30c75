"""The experiments behind the executable paper on sparsification. `python -m analysis --help`."""

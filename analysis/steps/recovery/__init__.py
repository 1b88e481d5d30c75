"""The steps that train what was pruned."""

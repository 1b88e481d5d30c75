"""How sparse the models are before anything is pruned."""

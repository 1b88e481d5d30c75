"""Checkpoints: where they come from, what their weights are called, loading and training them."""

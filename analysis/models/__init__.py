"""Where checkpoints come from, and what their weights are called."""

"""Training: models from nothing, for a task, and after pruning."""

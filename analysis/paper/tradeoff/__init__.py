"""Quality against bytes and milliseconds, of pruned models and of the alternatives."""

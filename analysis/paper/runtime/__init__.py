"""What pruning does to time."""

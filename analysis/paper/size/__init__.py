"""What pruning does to files."""

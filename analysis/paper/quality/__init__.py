"""What pruning does to the scores of benchmarks."""

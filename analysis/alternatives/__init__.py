"""Alternatives to pruning: other ways to make a trained model smaller or faster."""

"""The steps that make alternatives to a pruned model."""

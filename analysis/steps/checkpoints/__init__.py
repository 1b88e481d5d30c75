"""The steps that get a dense checkpoint."""

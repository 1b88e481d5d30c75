"""The steps that prune."""

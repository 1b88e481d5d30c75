"""The steps that measure time."""

"""The steps that look at weights."""

"""The steps that make or read examples."""

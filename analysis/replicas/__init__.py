"""Random models of published shapes."""

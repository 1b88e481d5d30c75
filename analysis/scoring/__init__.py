"""How answers are had, scored, and given intervals."""

"""Which method keeps most, and where."""

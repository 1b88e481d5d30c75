"""What each method removes, and what it takes to find it."""

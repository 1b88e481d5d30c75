"""What each layer bears."""

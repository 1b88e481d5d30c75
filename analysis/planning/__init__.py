"""What a run will need before it starts: its steps, and what they take."""

"""How models run, and how long that takes."""

"""What runs steps and remembers them: it knows nothing of models."""

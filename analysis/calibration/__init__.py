"""What goes into each linear layer of a model, on calibration texts, block after block."""

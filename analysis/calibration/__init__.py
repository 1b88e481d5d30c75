"""What goes into each linear layer of a model, on calibration texts, block after block."""

EXAMPLES, TOKENS = 128, 512  # that are looked at, unless a study says otherwise

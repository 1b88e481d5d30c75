"""Files of weights: what is in them, by what names, of what types; no model is opened."""

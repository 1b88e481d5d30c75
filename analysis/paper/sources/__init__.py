"""Where models, data and published scores come from."""

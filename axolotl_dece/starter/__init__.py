"""A first config for somebody's own model, data and memory."""

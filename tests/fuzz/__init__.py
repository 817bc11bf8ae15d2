"""Whoever wants to break a reader: broken and odd files, made from a seed, with everything that reads them."""

"""Sharing: cards that say what a model or dataset is, secrets that stay at home, configs of others as data."""

"""Whose key, whether to trust it, how to learn it, how to make it."""

"""Hashes of what every method asked, was told and recommended: they say whether behaviour has changed."""

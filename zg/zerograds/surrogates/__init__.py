"""Surrogates of the loss: one file each."""

"""Renderers that several tasks share."""

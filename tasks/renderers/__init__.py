"""Bridges to renderers that tasks share."""

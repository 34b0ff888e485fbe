"""Tasks: one module each, found by name through the entry points in setup.cfg."""

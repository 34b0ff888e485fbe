"""Scenes for Blender: each file runs inside it, in a process of its own, and imports nothing of this repository."""

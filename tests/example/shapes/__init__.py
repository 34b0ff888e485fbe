"""The guide's example package."""

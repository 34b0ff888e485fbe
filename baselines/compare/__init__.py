"""Comparisons on equal terms: `zg compare`, `zg report` and `zg tune`. Nothing here can change what a run finds."""

"""Methods to compare against, and the comparison."""

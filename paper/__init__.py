"""The paper's experiments: which rows, which tables, which figures."""

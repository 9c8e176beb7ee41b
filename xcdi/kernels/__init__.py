"""Array functions: numpy in, numpy out; no labels, no files."""

"""Questions that take an evaluation to answer, each one file."""

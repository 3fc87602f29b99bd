"""Everything that a table prints, computed from stored posteriors: errors, pairs, tests, fusions."""

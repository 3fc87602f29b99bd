"""Files become models, and models files: nothing is skipped, guessed or executed."""

"""Training by the paper's recipe (section 3.1), validated by the project's own evaluation."""

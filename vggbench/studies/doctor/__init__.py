"""What this machine is, and whether vggbench is right on it: facts, checks, and what limits an evaluation."""

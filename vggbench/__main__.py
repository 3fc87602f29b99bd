"""`python -m vggbench`."""

from vggbench.cli import main

if __name__ == "__main__":
    main()

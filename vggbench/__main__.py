"""`python -m vggbench`, and the command `vggbench`."""

import sys

from vggbench.cli.signals import EXIT_STATUS, INTERRUPTED, forget_signals, heed_signals


def main() -> None:
    """Run the command line, which takes a moment to import: signals are answered first."""
    heed_signals()
    try:
        from vggbench.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        sys.exit(EXIT_STATUS)
    finally:
        forget_signals()


if __name__ == "__main__":
    main()

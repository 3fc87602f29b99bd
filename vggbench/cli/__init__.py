"""The command line: each command is a file in `commands/`, which parses, makes one library call, and prints."""

from vggbench.cli import commands as commands
from vggbench.cli.app import app as app
from vggbench.cli.app import main as main

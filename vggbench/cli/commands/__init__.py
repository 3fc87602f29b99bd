"""The commands, in the order in which --help lists them."""

from vggbench.cli.commands import params as params  # isort: skip
from vggbench.cli.commands import eval as eval  # isort: skip
from vggbench.cli.commands import compare as compare  # isort: skip
from vggbench.cli.commands import explain as explain  # isort: skip
from vggbench.cli.commands import reproduce as reproduce  # isort: skip
from vggbench.cli.commands import fuse as fuse  # isort: skip
from vggbench.cli.commands import report as report  # isort: skip
from vggbench.cli.commands import predict as predict  # isort: skip
from vggbench.cli.commands import runs as runs  # isort: skip
from vggbench.cli.commands import data as data  # isort: skip
from vggbench.cli.commands import speed as speed  # isort: skip
from vggbench.cli.commands import train as train  # isort: skip
from vggbench.cli.commands import weights as weights  # isort: skip
from vggbench.cli.commands import export as export  # isort: skip
from vggbench.cli.commands import cite as cite  # isort: skip

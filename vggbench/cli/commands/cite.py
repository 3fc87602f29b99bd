"""`cite`: what to write into a bibliography."""

from vggbench.cli.app import command

_ENTRIES = """\
@software{{vggbench,
  title = {{vggbench: the evaluation of VGG networks by the paper's own protocols}},
  author = {{{{The vggbench authors}}}},
  version = {{{version}}},
  year = {{2026}},
  note = {{Quote the last line under the table, which names weights, images and test scales}}
}}

@inproceedings{{simonyan2015very,
  title = {{Very Deep Convolutional Networks for Large-Scale Image Recognition}},
  author = {{Simonyan, Karen and Zisserman, Andrew}},
  booktitle = {{International Conference on Learning Representations}},
  year = {{2015}},
  eprint = {{1409.1556}},
  archiveprefix = {{arXiv}}
}}
"""


@command()
def cite() -> None:
    """Print BibTeX entries of this tool and of the paper.

    Example: vggbench cite >> references.bib
    """
    from vggbench import __version__

    print(_ENTRIES.format(version=__version__), end="")

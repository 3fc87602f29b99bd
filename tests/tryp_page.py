import pytest, sys, os
from pathlib import Path
from test_pages import _stand_ins, released, folder, run
@pytest.mark.usefixtures("released")
def test_one(folder):
    page, wrong = run(Path(os.environ["PAGE"]), folder)
    print("\n".join(wrong)); print(page.ran, page.parsed)
    assert not wrong

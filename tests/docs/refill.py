"""Writes into the pages what their examples print now: `python -m tests.docs.refill [PAGE...]`.

Only outputs are written, never an outcome in a table: read the difference before you commit it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.docs.pages import ROOT, names, page
from tests.docs.running import Runner, same


class Refill(Runner):
    """Runs a page and notes what is shown otherwise than it is printed."""

    changes: list[tuple[int, int, list[str]]]

    def compare(self, line: int, shown: str, printed: str) -> None:
        """Note the lines that are to stand in place of what is shown."""
        if same(printed) != same(shown):
            lines = [text.rstrip() for text in printed.rstrip("\n").split("\n")]
            self.changes.append((line - 1, len(shown.splitlines()), lines))


def refill(name: str) -> int:
    """Write the page anew where it shows what is not printed; how many outputs changed."""
    here = Path.cwd()
    runner = Refill(page(name))
    runner.changes = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            runner.run()
        finally:
            os.chdir(here)
    lines = runner.page.text.splitlines()
    for first, count, printed in reversed(runner.changes):
        lines[first : first + count] = printed
    (ROOT / name).write_text("\n".join(lines) + "\n", "utf-8")
    return len(runner.changes)


if __name__ == "__main__":
    for each in sys.argv[1:] or names():
        print(f"{each}: {refill(each)} outputs written")

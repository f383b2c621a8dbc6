"""Every benchmark, one after another, each in a process of its own: `python benchmarks/run.py [--markdown FILE]`.

With `--markdown` the tables are written into the file too, behind its line `<!-- tables -->` if it has one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from common import HERE, Table

MARK = "<!-- tables -->"
SCRIPTS = ("decide", "shadow", "evaluate", "durable", "load", "swap")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path, help="write the tables into this file too")
    parser.add_argument("scripts", nargs="*", default=SCRIPTS, help=f"which of them (default: {' '.join(SCRIPTS)})")
    arguments = parser.parse_args()
    start = time.perf_counter()
    machine = _machine()
    print(machine)
    tables = []
    for script in arguments.scripts:
        done = subprocess.run([sys.executable, HERE / f"{script}.py", "--json"], check=True, stdout=subprocess.PIPE)
        made = [Table(**fields) for fields in json.loads(done.stdout)]
        print("\n".join(table.text() for table in made), flush=True)
        tables += made
    print(f"\n{time.perf_counter() - start:.0f} s in all; load of the machine at the end: {_load()}")
    if arguments.markdown:
        _write(arguments.markdown, tables, machine)


def _write(path: Path, tables: list[Table], machine: str) -> None:
    before = path.read_text().partition(MARK)[0] if path.exists() else ""
    parts = [f"{before}{MARK}", "", f"{machine}.", "", *(table.markdown() for table in tables)]
    path.write_text("\n".join(parts).rstrip() + "\n")


def _machine() -> str:
    return (
        f"onpurpose {version('onpurpose')} on Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores, load before the run {_load()}"
    )


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()

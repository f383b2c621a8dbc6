"""Programs that tests need, from Debian's packages: where the tests run as root, they install them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess


def install(*packages: str, seconds: float) -> bool:
    """Whether it could be tried, for as long for each of its two steps; what came of it the caller looks up."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *command],
                check=False,
                env=environment,
                capture_output=True,
                timeout=seconds,
            )
    return True

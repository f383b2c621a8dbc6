"""A process that serves: told to stop, it answers what is begun, closes, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.loopback import asking
from tests.server.serving import secret_of

ROOT = Path(__file__).parents[2]

CODE = """
import socket
from onpurpose.server.build import build, run
from tests.server.serving import services

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
run(build(services(close=lambda: print("closed", flush=True))), [listening])
"""


def test_a_process_that_is_told_to_stop_closes_its_services() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CODE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        with asking(url, secret_of("asker")) as client:
            answer = client.post("/v1/evaluate", json={"agent_id": "a", "capability": "open"})
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        process.wait(30)
    assert answer.json()["outcome"] == "allow"
    assert rest == "closed\n"
    assert process.returncode in (0, -signal.SIGTERM)

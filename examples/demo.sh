#!/bin/sh
# Runs the example agents and replays recorded sessions, all into one log, and verifies that log.
# CASES=PATH replays the calls there instead of the project's own sessions.
set -eu
: "${BIN:=.venv/bin}" "${AUDIT:=demo.db}" "${CASES:=examples/sessions}"
[ -n "$CASES" ] || CASES=examples/sessions

rm -f "$AUDIT" "$AUDIT"-wal "$AUDIT"-shm "$AUDIT".anchor "$AUDIT".key "$AUDIT".pub

say() { printf '\n== %s\n\n' "$1"; }

say "A shell agent at work: each command is judged, recorded, and only then run"
"$BIN/python" examples/shell_agent.py "$AUDIT"

say "A payments agent at work"
"$BIN/python" examples/payments_agent.py "$AUDIT"

say "Recorded calls, judged again: $CASES"
"$BIN/onpurpose" replay "$CASES" --policy policies --audit "$AUDIT"

say "The log of all that, verified"
"$BIN/onpurpose" audit verify --log "$AUDIT"

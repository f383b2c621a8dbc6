"""What a call shows of itself."""

from __future__ import annotations

from onpurpose.core.call import Call


def test_a_call_in_a_traceback_shows_no_payload() -> None:
    assert (
        repr(Call("ops", "payments.transfer", {"card": "4111"}, {"tenant": "x"})) == "Call('ops', 'payments.transfer')"
    )

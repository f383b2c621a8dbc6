"""A checkpoint reads as it was written, and nothing else reads as one."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.chain import MAX_FINDINGS, Kind, LogCheck
from onpurpose.core.checkpoint import GENESIS, Anchor, Checkpoint, Signed, key_id, parse
from onpurpose.core.record import Head, Receipt, Stored, link

NAMES = st.text("0123456789abcdef", min_size=32, max_size=32)
HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(1, 2**53)


@st.composite
def checkpoints(draw: st.DrawFn) -> Checkpoint:
    heads = {name: Head(name, draw(NUMBERS), draw(HASHES)) for name in draw(st.lists(NAMES, max_size=3, unique=True))}
    return Checkpoint(
        log=draw(NAMES), n=draw(NUMBERS), at=draw(NUMBERS), previous=draw(HASHES), key=draw(NAMES)[:16],
        count=draw(NUMBERS), chain=draw(NAMES), closed=draw(st.booleans()), heads=heads,
    )  # fmt: skip


@given(checkpoints())
def test_a_checkpoint_reads_as_it_was_written(checkpoint: Checkpoint) -> None:
    assert parse(checkpoint.body()) == checkpoint


@given(checkpoints(), st.data())
def test_a_body_that_differs_is_another_checkpoint_or_none(checkpoint: Checkpoint, data: st.DataObject) -> None:
    body = checkpoint.body()
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([data.draw(st.integers(0, 255).filter(lambda byte: byte != body[at]))]) + body[at + 1 :]
    try:
        assert parse(changed) != checkpoint
    except ValueError:
        assert changed != body


WRONG = [
    None, True, 1, 1.5, "x", [], ["x"], {"x": 1}, {"x": [1]}, {"x": ["a", "b"]}, {"x": [1, 2]}, {"x": [1, "zz"]},
    {"x": [True, "00"]}, {"x": [1, "AB"]},
]  # fmt: skip
FIELDS = {"v": (), "log": str, "n": int, "at": int, "previous": (), "key": str, "count": int, "chain": str}


@pytest.mark.parametrize("field", [*FIELDS, "closed", "heads"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_field_of_the_wrong_type_is_refused(field: str, wrong: object) -> None:
    if type(wrong) is {**FIELDS, "closed": bool}.get(field) or (field, wrong) == ("v", 1):
        wrong = 2 if field == "v" else None
    value = orjson.loads(statement(1, 1, GENESIS, {}).body())
    assert parse(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).n == 1
    with pytest.raises(ValueError, match=r"."):
        parse(orjson.dumps({**value, field: wrong}, option=orjson.OPT_SORT_KEYS))


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"v":1}', b"null"])
def test_what_is_no_checkpoint_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@given(NAMES, NUMBERS, HASHES)
def test_an_anchor_reads_as_it_was_written(log: str, number: int, digest: bytes) -> None:
    anchor = Anchor(log=log, n=number, hash=digest)
    assert Anchor.parse(f" {anchor}\n") == anchor


@pytest.mark.parametrize(
    "text", ["", "a:1", "a:b:c", f"a:0:{'0' * 64}", f"a:1:{'0' * 62}", f"a:01:{'0' * 64}", "a:1:zz"]
)
def test_what_is_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Anchor.parse(text)


def test_heads_compare_by_where_they_stand() -> None:
    assert Head("a", 1, b"x") == Receipt("a", 1, b"x")
    assert len({Head("a", 1, b"x"), Head("a", 1, b"x"), Head("a", 2, b"x")}) == 2
    assert Head("a", 1, b"x") != "a"
    assert repr(Receipt("a", 1, b"\xab")) == "Receipt(a:1 ab)"
    assert repr(Stored(3, "a", 1, b"", b"")) == "Stored(3 a:1)"


# A log made by hand, signed by a key whose signatures are the end of the message.

KEY = b"k" * 32
CHAIN, OTHER = "a" * 32, "b" * 32


def signs(public_key: bytes, message: bytes, signature: bytes) -> bool:
    return public_key == KEY and signature == message[-8:]


def signed(checkpoint: Checkpoint, number: int | None = None) -> Signed:
    body = checkpoint.body()
    return Signed(n=number or checkpoint.n, body=body, signature=body[-8:])


def statement(n: int, count: int, previous: bytes, heads: dict[str, Head], **other: object) -> Checkpoint:
    fields: dict[str, object] = {"log": "c" * 32, "at": 1, "key": key_id(KEY), "chain": CHAIN, "closed": False} | other
    return Checkpoint(n=n, count=count, previous=previous, heads=heads, **fields)  # type: ignore[arg-type]  fields of the table


def records(count: int, chain: str = CHAIN) -> list[Stored]:
    made, previous = [], bytes(32)
    for seq in range(1, count + 1):
        previous = link(previous, chain, seq, b"{}")
        made.append(Stored(seq, chain, seq, previous, b"{}"))
    return made


def check(*shown: Stored | Signed, anchors: dict[str, Anchor] | None = None, key: bytes | None = KEY) -> LogCheck:
    made = LogCheck(public_key=key, verify_signature=signs, anchors=anchors or {})
    for one in shown:
        if isinstance(one, Stored):
            made.record(one)
        else:
            made.checkpoint(one)
    return made


def head(stored: Stored) -> Head:
    return Head(stored.chain, stored.seq, stored.hash)


def kinds(checked: LogCheck) -> list[Kind]:
    return [finding.kind for finding in checked.report().findings]


def test_a_whole_log_has_no_findings_and_says_what_is_not_covered() -> None:
    log = records(4)
    first = signed(statement(1, 2, GENESIS, {CHAIN: head(log[1])}))
    second = signed(statement(2, 3, first.hash, {CHAIN: head(log[2])}))
    anchors = {"here": Anchor(log="c" * 32, n=1, hash=first.hash)}
    report = check(*log[:2], first, log[2], second, log[3], anchors=anchors).report()
    assert report.ok
    assert (report.records, report.chains, report.checkpoints, report.uncovered) == (4, 1, 2, 1)
    assert report.anchor == Anchor(log="c" * 32, n=2, hash=second.hash)
    assert report.key == key_id(KEY)


def test_without_a_public_key_the_rest_is_still_checked() -> None:
    log = records(2)
    first = signed(statement(1, 2, GENESIS, {CHAIN: head(log[1])}))
    checked = check(*log, first, key=None)
    assert kinds(checked) == [Kind.KEY]
    assert checked.report().key is None
    assert Kind.CUT_OFF in kinds(check(log[0], first, key=None))


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (lambda previous, log: signed(statement(2, 3, GENESIS, {CHAIN: head(log[2])})), Kind.CHECKPOINT),
        (lambda previous, log: signed(statement(2, 3, previous, {CHAIN: head(log[2])}, log="d" * 32)), Kind.CHECKPOINT),
        (lambda previous, log: signed(statement(3, 3, previous, {CHAIN: head(log[2])}), 2), Kind.REORDERED),
        (lambda previous, log: Signed(n=2, body=b"{}", signature=b"point.1\0{}"[-8:]), Kind.CHECKPOINT),
        (lambda previous, log: Signed(n=2, body=b"{}", signature=b"no"), Kind.CHECKPOINT),
        (lambda previous, log: signed(statement(2, 3, previous, {CHAIN: head(log[1])})), Kind.ADDED),
        (lambda previous, log: signed(statement(2, 3, previous, {CHAIN: Head(CHAIN, 3, b"x")})), Kind.CHANGED),
        (lambda previous, log: signed(statement(2, 3, previous, {}, chain=OTHER)), Kind.ADDED),
        (lambda previous, log: signed(statement(2, 9, previous, {CHAIN: Head(CHAIN, 9, b"x")})), Kind.CUT_OFF),
    ],
)  # fmt: skip
def test_a_checkpoint_that_is_not_true_is_found(second: object, kind: Kind) -> None:
    log = records(3)
    first = signed(statement(1, 2, GENESIS, {CHAIN: head(log[1])}))
    assert callable(second)
    assert kind in kinds(check(*log[:2], first, log[2], second(first.hash, log)))


def test_after_a_checkpoint_that_does_not_hold_the_next_is_judged_alone() -> None:
    log = records(3)
    bad = Signed(n=1, body=b"x", signature=b"no")
    second = signed(statement(2, 3, bad.hash, {CHAIN: head(log[2]), OTHER: Head(OTHER, 1, b"x")}))
    assert kinds(check(*log[:2], bad, log[2], second)) == [Kind.CHECKPOINT, Kind.CUT_OFF]


def test_a_log_that_could_not_be_read_to_its_end_is_not_said_to_be_cut() -> None:
    checked = check(*records(2), anchors={"here": Anchor(log="c" * 32, n=5, hash=bytes(32))})
    checked.stop("a damaged page")
    assert kinds(checked) == [Kind.UNREADABLE]


def test_an_anchor_the_log_does_not_meet_is_found() -> None:
    log = records(2)
    first = signed(statement(1, 2, GENESIS, {CHAIN: head(log[1])}))
    third = signed(statement(3, 2, first.hash, {CHAIN: head(log[1])}))

    def found(*shown: Stored | Signed, number: int) -> list[Kind]:
        return kinds(check(*log, *shown, anchors={"here": Anchor(log="c" * 32, n=number, hash=bytes(32))}))

    assert found(first, number=1) == [Kind.CHECKPOINT]
    assert found(first, number=2) == [Kind.CUT_OFF]
    assert found(first, third, number=2) == [Kind.MISSING, Kind.CUT_OFF]


def test_a_chain_without_a_name_is_found() -> None:
    assert Kind.CHANGED in kinds(check(Stored(1, "", 1, b"", b"")))
    assert Kind.CHANGED in kinds(check(Stored(1, "Z" * 32, 1, b"", b"")))


def test_numbers_far_out_of_range_are_findings() -> None:
    odd = [
        Stored(1, CHAIN, -5, b"", b""),
        Stored(2, CHAIN, 2**63 - 1, b"", b""),
        Stored(-(2**63), CHAIN, 2**63, b"", b""),
    ]
    assert {Kind.REORDERED, Kind.MISSING} <= set(kinds(check(*odd)))


def test_findings_beyond_the_limit_are_counted() -> None:
    report = check(*(Stored(1, "", 1, b"", b"") for _ in range(MAX_FINDINGS))).report()
    assert len(report.findings) == MAX_FINDINGS
    assert report.total > MAX_FINDINGS
    assert not report.ok

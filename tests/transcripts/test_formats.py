"""Each format read from samples of what its programs write, broken and hostile ones among them."""

import json
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.transcripts import FORMATS, Transcript, detect, read, read_stream
from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import Decision
from onpurpose.core.history import Doubt, RecordedCall
from onpurpose.core.outcome import Outcome
from onpurpose.core.recorded import record_decision
from onpurpose.core.span import Problem, Span

AT = Span("log", 1, 1)
SHARED = Path(__file__).parents[2].parent / "shared" / "cases" / "agentdojo"


def recorded(name: str, *documents: object) -> list[RecordedCall]:
    transcript = transcript_of(name, *documents)
    found = list(transcript)
    assert transcript.problems == []
    return found


def transcript_of(name: str, *documents: object) -> Transcript:
    lines = [document if isinstance(document, str) else json.dumps(document) for document in documents]
    return read_stream(BytesIO("\n".join(lines).encode()), "log", name)


def seen(calls: list[RecordedCall]) -> list[tuple[str, object]]:
    return [(one.call.capability, one.call.payload) for one in calls]


# -- calls


def test_a_native_call_has_every_field_of_the_contract() -> None:
    [one] = recorded(
        "calls",
        {
            "agent_id": "ops", "capability": "shell.execute", "payload": {"command": "ls"},
            "policy_context": {"environment": "production"}, "task_context": "shell",
            "risk_category": "shell_execution", "identity": {"user_id": "ada", "groups": ["ops"]}, "purpose_id": "p1",
            "session": "s1", "label": "attack", "note": "for people",
        },
    )  # fmt: skip
    call = one.call
    assert (call.agent_id, call.capability, call.payload) == ("ops", "shell.execute", {"command": "ls"})
    assert (call.policy_context, call.task_context) == ({"environment": "production"}, "shell")
    assert (call.risk_category, call.purpose_id) == ("shell_execution", "p1")
    assert call.identity == Identity("ada", ("ops",))
    assert (one.session, one.label, one.note, one.at) == ("s1", "attack", "for people", Span("log", 1, 1))


def test_a_native_call_needs_a_capability_alone() -> None:
    [one] = recorded("calls", {"capability": "x"})
    assert (one.call.agent_id, one.call.payload, one.call.identity) == ("replay", None, None)


@pytest.mark.parametrize(
    "document",
    [
        [],
        3,
        {"payload": {}},
        {"capability": 3},
        {"capability": "x", "policy_context": "production"},
        {"capability": "x", "agent_id": 3},
        {"capability": "x", "identity": "ada"},
        {"capability": "x", "identity": {"groups": []}},
        {"capability": "x", "identity": {"user_id": "ada", "groups": "ops"}},
        {"capability": "x", "identity": {"user_id": "ada", "groups": [1]}},
    ],
)
def test_a_native_call_that_cannot_be_read_is_counted_and_placed(document: object) -> None:
    transcript = transcript_of("calls", {"capability": "good"}, document, {"capability": "good"})
    assert len(list(transcript)) == 2
    assert transcript.unread == 1
    assert [problem.span.line for problem in transcript.problems] == [2]


def test_a_call_whose_line_names_a_key_twice_is_doubted() -> None:
    transcript = transcript_of("calls", '{"capability": "x", "payload": {"to": "a", "to": "b"}}', {"capability": "y"})
    assert [one.doubts for one in transcript] == [(Doubt.DUPLICATE_KEYS,), ()]
    assert transcript.doubts == {Doubt.DUPLICATE_KEYS: 1}


def test_problems_quote_nothing_from_the_line_and_are_bounded() -> None:
    transcript = transcript_of("calls", *['{"password": hunter2}'] * 150)
    assert list(transcript) == []
    assert transcript.unread == 150
    assert len(transcript.problems) == 100
    assert not any("hunter2" in problem.render() for problem in transcript.problems)


# -- export

DECISION = {
    "kind": "decision", "id": "d1", "at": 1_780_000_000_000_000, "agent_id": "pay", "capability": "payments.transfer",
    "payload": {"amount": 5, "card": "[masked: card number]"}, "policy_context": {"tenant": "acme"},
    "task_context": "ap", "risk_category": "financial", "identity": {"user_id": "ada", "groups": ["ap"]},
    "outcome": "require_approval",
}  # fmt: skip


def test_an_exported_decision_is_the_call_and_what_was_decided() -> None:
    [one] = recorded("export", {"chain": "ab", "seq": 2, "hash": "00", "record": DECISION})
    assert (one.call.agent_id, one.call.capability) == ("pay", "payments.transfer")
    assert (one.call.policy_context, one.call.identity) == ({"tenant": "acme"}, Identity("ada", ("ap",)))
    assert one.decided is Outcome.REQUIRE_APPROVAL


def test_what_is_recorded_of_a_decision_is_read_back() -> None:
    made = Call("pay", "payments.transfer", {"amount": 5}, {"tenant": "acme"}, task_context="ap", purpose_id="p",
                identity=Identity("ada", ("ap", "eu")), data_source_id="db", elements=("t.a",))  # fmt: skip
    decision = Decision(Outcome.WARN, ())
    record = record_decision("d1", 1, made, made.payload, made.policy_context, None, decision, orjson.Fragment(b"[]"))
    line = {"position": 1, "chain": "ab", "seq": 1, "hash": "00", "record": json.loads(record.body)}
    [one] = recorded("export", line)
    assert {name: getattr(one.call, name) for name in Call.__slots__} == {n: getattr(made, n) for n in Call.__slots__}
    assert (one.decided, one.doubts) == (Outcome.WARN, ())


def test_an_exported_call_of_nobody_is_anonymous() -> None:
    bare = {
        "kind": "decision",
        "agent_id": "a",
        "capability": "b",
        "payload": None,
        "identity": None,
        "outcome": "deny",
    }
    [one] = recorded("export", {"chain": "ab", "seq": 2, "hash": "00", "record": bare})
    assert (one.call.identity, one.call.policy_context, one.call.payload) == (None, None, None)


def test_an_exported_call_with_masked_secrets_is_doubted() -> None:
    plain = {**DECISION, "payload": {"amount": 5}}
    nested = {**DECISION, "payload": {"a": [{"b": "x [masked] y"}]}}
    found = recorded("export", *({"chain": "ab", "seq": 1, "hash": "", "record": r} for r in (DECISION, plain, nested)))
    assert [one.doubts for one in found] == [(Doubt.MASKED,), (), (Doubt.MASKED,)]


def test_records_that_are_no_decision_are_passed_over() -> None:
    assert recorded("export", {"chain": "ab", "seq": 1, "hash": "", "record": {"kind": "log.opened"}}) == []


@pytest.mark.parametrize("document", [{}, [], {"record": 1}, {"record": {"kind": "decision", "agent_id": "a"}}])
def test_an_export_without_a_record_or_a_call_is_a_problem(document: object) -> None:
    transcript = transcript_of("export", document)
    assert (list(transcript), transcript.unread) == ([], 1)


# -- claude-code


def claude(*blocks: object, **fields: object) -> dict[str, object]:
    message = {"id": "msg_01", "type": "message", "role": "assistant", "model": "m", "content": list(blocks)}
    line = {"parentUuid": None, "isSidechain": False, "userType": "external", "cwd": "/srv/shop", "version": "2.1.12",
            "sessionId": "4f35e220", "gitBranch": "main", "type": "assistant", "uuid": "u", "message": message,
            "timestamp": "2026-01-20T11:57:17.716Z"}  # fmt: skip
    return {**line, **fields}


BASH = {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": {"command": "ls"}}


def test_a_claude_code_session_gives_its_tool_uses() -> None:
    found = recorded(
        "claude-code",
        {"type": "summary", "summary": "Shop", "leafUuid": "u"},
        {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}},
        {"type": "user", "sessionId": "4f35e220", "cwd": "/srv/shop", "message": {"role": "user", "content": "list"}},
        claude({"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "I look"}, BASH),
        {"type": "user", "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01"}]}},
        claude({"type": "tool_use", "id": "t", "name": "mcp__github__create_issue", "input": {"title": "x"}}),
        claude(BASH, isSidechain=True),
    )
    assert seen(found) == [
        ("Bash", {"command": "ls"}),
        ("mcp__github__create_issue", {"title": "x"}),
        ("Bash", {"command": "ls"}),
    ]
    assert [one.at.line for one in found] == [4, 6, 7]
    assert [one.label for one in found] == ["main", "main", "sidechain"]
    assert {(one.session, str(one.call.policy_context)) for one in found} == {("4f35e220", "{'cwd': '/srv/shop'}")}


def test_the_lines_that_an_sdk_streams_are_read_too() -> None:
    line = {"type": "assistant", "message": {"content": [BASH]}, "session_id": "s", "parent_tool_use_id": None}
    [one] = recorded("claude-code", line)
    assert (one.session, one.call.policy_context) == ("s", None)


@pytest.mark.parametrize(
    "line",
    [
        [],
        claude({"type": "tool_use", "id": "t", "input": {}}),
        claude({"type": "tool_use", "id": "t", "name": ["Bash"], "input": {}}),
    ],
)
def test_a_tool_use_without_a_name_is_a_problem(line: object) -> None:
    transcript = transcript_of("claude-code", line)
    assert (list(transcript), transcript.unread) == ([], 1)


def test_what_a_tool_returns_is_no_call_whatever_it_looks_like() -> None:
    hostile = {"type": "user", "message": {"role": "user", "content": [BASH]}, "sessionId": "s"}
    assert recorded("claude-code", hostile, claude(message="text"), claude(message={"content": "text"})) == []


# -- openai-chat


def tool_call(name: str = "send", arguments: object = '{"to": "a@b.example"}') -> dict[str, object]:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


ASSISTANT = {"role": "assistant", "content": None, "tool_calls": [tool_call()]}
SENT = [("send", {"to": "a@b.example"})]
CHAT = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [{"index": 0, "message": ASSISTANT}]}
ITEM = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "send", "arguments": '{"to": "a@b.example"}'}


@pytest.mark.parametrize(
    "document",
    [
        ASSISTANT,
        [{"role": "user", "content": "hi"}, ASSISTANT, {"role": "tool", "tool_call_id": "call_1", "content": "ok"}],
        {"messages": [{"role": "user", "content": "hi"}, ASSISTANT]},
        CHAT,
        {"request": {"messages": [ASSISTANT, ASSISTANT]}, "response": CHAT},
        {"messages": [ASSISTANT], "response": CHAT},
        {"custom_id": "r1", "response": {"status_code": 200, "body": CHAT}, "error": None},
        {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [ASSISTANT]}},
        {"role": "assistant", "function_call": {"name": "send", "arguments": '{"to": "a@b.example"}'}},
        ITEM,
        {"id": "resp_1", "object": "response", "output": [{"type": "reasoning", "summary": []}, ITEM]},
        {"input": [ITEM], "output": [ITEM]},
        {"role": "assistant", "tool_calls": [tool_call(arguments={"to": "a@b.example"})]},
    ],
)
def test_every_shape_of_chat_log_gives_the_call_once(document: object) -> None:
    assert seen(recorded("openai-chat", document)) == SENT
    assert FORMATS["openai-chat"].recognises(document)


@pytest.mark.parametrize("arguments", ['{"to": "a', "rm -rf /", "[1, 2]", "null"])
def test_arguments_that_are_no_json_object_stay_the_text_they_are(arguments: str) -> None:
    message = {"role": "assistant", "tool_calls": [tool_call("shell", arguments)]}
    assert seen(recorded("openai-chat", message)) == [("shell", arguments)]


def test_a_custom_tool_takes_a_text() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    item = {"type": "custom_tool_call", "name": "sql", "input": "select 1"}
    found = recorded("openai-chat", {"role": "assistant", "tool_calls": [custom]}, item)
    assert seen(found) == [("sql", "select 1")] * 2


def test_arguments_that_name_a_key_twice_are_doubted() -> None:
    message = {"role": "assistant", "tool_calls": [tool_call(arguments='{"to": "a", "to": "b"}')]}
    assert [one.doubts for one in recorded("openai-chat", message)] == [(Doubt.DUPLICATE_KEYS,)]


def test_a_call_is_doubted_once_for_one_reason() -> None:
    arguments = json.dumps('{"to": "a", "to": "b"}')
    line = f'{{"type": "function_call", "name": "x", "name": "send", "arguments": {arguments}}}'
    [one] = recorded("openai-chat", line)
    assert (one.call.capability, one.doubts) == ("send", (Doubt.DUPLICATE_KEYS,))


def test_the_session_is_the_nearest_name_of_the_conversation() -> None:
    assert [one.session for one in recorded("openai-chat", {"session_id": "s9", "messages": [ASSISTANT]})] == ["s9"]


@pytest.mark.parametrize(
    "document",
    [
        3,
        {"role": "assistant", "tool_calls": [{"id": "x"}]},
        {"role": "assistant", "tool_calls": ["x"]},
        {"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]},
        {"object": "chat.completion.chunk", "choices": [{"delta": {"tool_calls": [{"index": 0}]}}]},
        json.loads('{"messages":[' * 20 + "]}" * 20),
    ],
)
def test_a_chat_log_that_hides_a_call_says_so(document: object) -> None:
    transcript = transcript_of("openai-chat", document)
    assert (list(transcript), transcript.unread) == ([], 1)


def test_a_whole_conversation_may_stand_on_many_lines() -> None:
    text = json.dumps([{"role": "user", "content": "hi"}, ASSISTANT], indent=2)
    assert seen(recorded("openai-chat", text)) == SENT


# -- otel


def otlp(**attributes: object) -> dict[str, object]:
    listed = [{"key": key.replace("__", "."), "value": value} for key, value in attributes.items()]
    span = {"traceId": "5b8e", "spanId": "eee1", "name": "execute_tool send", "kind": 1, "attributes": listed}
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}


def text(value: str) -> dict[str, object]:
    return {"stringValue": value}


EXECUTE = {"gen_ai__operation__name": text("execute_tool"), "gen_ai__tool__name": text("send")}
PRINTED = {
    "name": "execute_tool send",
    "context": {"trace_id": "0x5b8e", "span_id": "0xeee1", "trace_state": "[]"},
    "kind": "SpanKind.INTERNAL",
    "attributes": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "send",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.call.arguments": '{"to": "a@b.example"}',
        "gen_ai.agent.name": "mailer",
    },
    "events": [],
}
STRUCTURED = {
    "kvlistValue": {
        "values": [
            {"key": "to", "value": {"arrayValue": {"values": [text("a@b.example")]}}},
            {"key": "count", "value": {"intValue": "3"}},
            {"key": "urgent", "value": {"boolValue": True}},
            {"key": "share", "value": {"doubleValue": 0.5}},
        ]
    }
}


def test_an_otlp_span_of_an_executed_tool_is_a_call() -> None:
    document = otlp(
        **EXECUTE, gen_ai__tool__call__arguments=text('{"to": "a@b.example"}'), gen_ai__agent__id=text("m1")
    )
    [one] = recorded("otel", document)
    assert seen([one]) == SENT
    assert (one.call.agent_id, one.session) == ("m1", "5b8e")


def test_structured_arguments_are_read_as_they_are() -> None:
    [one] = recorded("otel", otlp(**EXECUTE, gen_ai__tool__call__arguments=STRUCTURED))
    assert one.call.payload == {"to": ["a@b.example"], "count": 3, "urgent": True, "share": 0.5}


def test_arguments_that_were_not_captured_are_doubted() -> None:
    [one] = recorded("otel", otlp(**EXECUTE))
    assert (one.call.payload, one.doubts) == (None, (Doubt.NO_ARGUMENTS,))


def test_the_spans_that_an_sdk_prints_over_many_lines_are_read() -> None:
    found = recorded("otel", json.dumps(PRINTED, indent=4), json.dumps(PRINTED, indent=4))
    assert seen(found) == SENT * 2
    assert (found[0].call.agent_id, found[0].session) == ("mailer", "0x5b8e")


PARTS = [{"role": "assistant", "parts": [{"type": "text", "content": "ok"}, {"type": "tool_call", "id": "call_1", "name": "send", "arguments": {"to": "a@b.example"}}]}]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("messages", [PARTS, json.dumps(PARTS)])
def test_a_tool_call_in_a_models_answer_is_read_unless_its_execution_is(messages: object) -> None:
    answer = {
        "name": "chat m",
        "context": {},
        "attributes": {"gen_ai.operation.name": "chat", "gen_ai.output.messages": messages},
    }
    assert seen(recorded("otel", answer)) == SENT
    assert seen(recorded("otel", [answer, PRINTED])) == SENT


@pytest.mark.parametrize(
    "document",
    [
        {"name": "GET /", "attributes": {"http.method": "GET"}},
        {"name": "x", "attributes": {"gen_ai.output.messages": "not json"}},
        {"name": "x", "attributes": {"gen_ai.output.messages": [3, {"parts": 3}, {"parts": [3]}]}},
        {"resourceSpans": []},
        {"name": "x", "attributes": [3, {"key": "a"}]},
    ],
)
def test_other_spans_are_passed_over(document: object) -> None:
    assert recorded("otel", document) == []


@pytest.mark.parametrize("document", [{}, 3, otlp(gen_ai__operation__name=text("execute_tool"))])
def test_a_span_without_a_tools_name_is_a_problem(document: object) -> None:
    transcript = transcript_of("otel", document)
    assert (list(transcript), transcript.unread) == ([], 1)


# -- agentdojo

TASK = {"suite": "bank", "task": "user_task_0", "kind": "user", "text": "Pay",
        "calls": [{"function": "read", "args": {"file": "a"}}, {"function": "pay", "args": {}}]}  # fmt: skip


def test_a_task_gives_its_calls_in_order() -> None:
    found = recorded("agentdojo", TASK)
    assert seen(found) == [("bank.read", {"file": "a"}), ("bank.pay", {})]
    assert {(one.session, one.label) for one in found} == {("bank.user_task_0", "user")}


@pytest.mark.parametrize("document", [3, {}, {**TASK, "calls": [{"args": {}}]}, {**TASK, "calls": ["pay"]}])
def test_a_task_that_names_no_function_is_a_problem(document: object) -> None:
    transcript = transcript_of("agentdojo", document)
    assert (list(transcript), transcript.unread) == ([], 1)


def test_the_real_tasks_are_read_from_their_folder() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"the AgentDojo cases are not there: {SHARED}")
    transcript = read(SHARED)
    found = list(transcript)
    assert (len(found), transcript.unread, transcript.documents) == (156, 0, 51)
    assert {one.label for one in found} == {"user", "injection"}


# -- all of them

SAMPLES = {
    "calls": {"capability": "x", "payload": {}},
    "export": {"chain": "ab", "seq": 2, "hash": "00", "record": DECISION},
    "claude-code": claude(BASH),
    "openai-chat": CHAT,
    "otel": PRINTED,
    "agentdojo": TASK,
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_told_by_its_documents(name: str) -> None:
    assert detect([b"\n", json.dumps(SAMPLES[name]).encode() + b"\n"]) == name


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_told_in_spite_of_broken_lines_before_it(name: str) -> None:
    assert detect([b"{broken\n", b"3\n", json.dumps(SAMPLES[name], indent=1).encode()]) == name


@pytest.mark.parametrize("lines", [[], [b""], [b"agent,tool\n", b"a,b\n"], [b"{}\n"] * 30 + [b'{"capability": "x"}\n']])
def test_what_is_in_no_format_is_said_to_be_in_none(lines: list[bytes]) -> None:
    assert detect(lines) is None


WORDS = [
    "type", "message", "content", "name", "id", "calls", "suite", "tool_calls", "function", "choices", "record",
    "attributes", "spans", "resourceSpans", "scopeSpans", "value", "capability", "identity", "arguments",
    "gen_ai.operation.name", "gen_ai.tool.call.id", "gen_ai.output.messages", "parts",
]  # fmt: skip
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.sampled_from(["assistant", "tool_use", "execute_tool"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner | st.just("decision"), max_size=4)
    ),
    max_leaves=15,
)


@given(st.sampled_from(sorted(FORMATS)), DOCUMENTS)
def test_no_document_makes_a_reader_raise(name: str, document: object) -> None:
    parts = list(FORMATS[name].calls(document, AT))
    assert all(isinstance(part, RecordedCall | Problem) for part in parts)
    assert FORMATS[name].recognises(document) in (True, False)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("key", ["messages", "spans", "message", "payload", "arrayValue"])
def test_no_depth_makes_a_reader_raise(name: str, key: str) -> None:
    document: object = []
    for _ in range(900):
        document = {key: [document]}
    assert all(isinstance(part, RecordedCall | Problem) for part in FORMATS[name].calls(document, AT))


# -- files


def test_a_folder_is_read_file_by_file_each_in_its_own_format(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.jsonl").write_text(json.dumps(SAMPLES["calls"]) + "\n")
    (tmp_path / "deep" / "b.jsonl").write_text(json.dumps(SAMPLES["agentdojo"]) + "\n")
    (tmp_path / "c.jsonl").write_text("nothing known\n")
    (tmp_path / "tools.json").write_text("[]")
    transcript = read(tmp_path)
    assert [one.call.capability for one in transcript] == ["x", "bank.read", "bank.pay"]
    assert [(p.code, p.span.source) for p in transcript.problems] == [("unknown-format", str(tmp_path / "c.jsonl"))]


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    transcript = read(tmp_path / "absent.jsonl", "calls")
    assert (list(transcript), [p.code for p in transcript.problems]) == ([], ["unreadable-file"])


def test_progress_adds_up_to_the_size_of_the_files(tmp_path: Path) -> None:
    from onpurpose.adapters.transcripts import size_of

    (tmp_path / "a.jsonl").write_text('{"capability": "x"}\n\nbroken\n' * 50)
    (tmp_path / "b.jsonl").write_text('{\n "capability": "x"\n}')
    steps: list[int] = []
    assert len(list(read(tmp_path, "calls", steps.append))) == 51
    assert sum(steps) == size_of(tmp_path)


def test_an_unknown_format_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="csv"):
        read(tmp_path, "csv")

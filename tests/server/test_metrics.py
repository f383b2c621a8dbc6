"""`/metrics`: Prometheus text of what was decided, and how long it took."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from onpurpose.core.outcome import Outcome
from onpurpose.server.metrics import BUCKETS, Metrics
from tests.server.serving import Served, services, serving


def samples(text: str) -> dict[tuple[str, str], float]:
    """Values by name and the one label that there is, if any."""
    families = text_string_to_metric_families(text)
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_every_outcome_is_counted_from_the_start() -> None:
    found = samples(Metrics().text().decode())
    assert [found["onpurpose_decisions_total", str(outcome)] for outcome in Outcome] == [0, 0, 0, 0]


def test_latency_falls_into_the_bucket_that_holds_it() -> None:
    metrics = Metrics()
    for seconds in (0.0, 0.0005, 0.0006, 3.0, 99.0):
        metrics.decided(Outcome.ALLOW, seconds)
    found = samples(metrics.text().decode())
    counts = [found["onpurpose_evaluate_seconds_bucket", end] for end in ("0.0005", "0.001", "2.5", "5.0", "+Inf")]
    assert counts == [2, 3, 3, 4, 5]
    assert found["onpurpose_evaluate_seconds_count", ""] == 5
    assert found["onpurpose_evaluate_seconds_sum", ""] == 0.0 + 0.0005 + 0.0006 + 3.0 + 99.0
    assert list(BUCKETS) == sorted(BUCKETS)


def test_gauges_are_asked_when_somebody_asks() -> None:
    now = {"pending": 3.0, "stale": 0.0}
    metrics = Metrics(pending=lambda: now["pending"], stale=lambda: now["stale"])
    assert samples(metrics.text().decode())["onpurpose_records_pending", ""] == 3
    now.update(pending=0.0, stale=7.5)
    found = samples(metrics.text().decode())
    assert (found["onpurpose_records_pending", ""], found["onpurpose_policies_stale_seconds", ""]) == (0, 7.5)


def test_what_is_answered_is_counted() -> None:
    call = {"agent_id": "a", "capability": "open"}
    with serving(services()) as served, served.client() as client:
        client.post("/v1/evaluate", json=call)
        client.post("/v1/evaluate", json={**call, "capability": "shut"})
        client.post("/v1/evaluate/batch", json={"calls": [call] * 3})
        client.post("/v1/evaluate", json={})
        client.get("/nowhere")
        response = client.get("/metrics")
    found = samples(response.text)
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert [found["onpurpose_decisions_total", name] for name in ("allow", "deny")] == [4, 1]
    assert [found["onpurpose_http_responses_total", status] for status in ("200", "422", "404")] == [3, 1, 1]
    assert found["onpurpose_evaluate_seconds_count", ""] == 5


def test_two_services_of_one_process_count_apart(service: Served) -> None:
    with serving(services()) as served, served.client() as client:
        found = samples(client.get("/metrics").text)
    assert found["onpurpose_evaluate_seconds_count", ""] == 0

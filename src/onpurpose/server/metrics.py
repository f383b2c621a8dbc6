"""What the service counts: plain integers on the event loop, made into Prometheus text when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from onpurpose.core.outcome import Outcome

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the latency histogram, in seconds."""

_NAMES = {"pending": "onpurpose_records_pending", "stale": "onpurpose_policies_stale_seconds"}


Traffic: TypeAlias = Mapping[str, Any]
"""`sent`, `retried`, `dead` since the start, and `waiting_seconds` of what is overdue."""


class Metrics(Collector):
    """Counts of one process. Counted on its event loop alone, read from there too.

    `pending` tells how many records wait to be written, `stale` for how many seconds it could not be
    confirmed that the policies in force are the newest, `messages` what left by each channel.
    """

    def __init__(
        self,
        *,
        pending: Callable[[], float] = lambda: 0.0,
        stale: Callable[[], float] = lambda: 0.0,
        messages: Callable[[], Mapping[str, Traffic]] = dict,
    ) -> None:
        self._pending = pending
        self._stale = stale
        self._messages = messages
        self._outcomes = [0, 0, 0, 0]
        self._latency = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self._responses: dict[int, int] = {}
        self.streams = 0
        """Readers of event streams now."""
        self.dropped = 0
        """Readers that were too slow, since the start."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def decided(self, outcome: Outcome, seconds: float) -> None:
        """Count one answered call, and how long it took from its body to its answer."""
        self._outcomes[outcome] += 1
        self._latency[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds

    def responded(self, status: int) -> None:
        """Count one response by its status."""
        self._responses[status] = self._responses.get(status, 0) + 1

    def text(self) -> bytes:
        """All of it in Prometheus's text form."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The families; asked by the registry."""
        decisions = CounterMetricFamily("onpurpose_decisions", "Calls decided, by outcome.", labels=["outcome"])
        for outcome in Outcome:
            decisions.add_metric([str(outcome)], self._outcomes[outcome])
        yield decisions
        yield self._histogram()
        responses = CounterMetricFamily("onpurpose_http_responses", "HTTP responses, by status.", labels=["status"])
        for status, count in sorted(self._responses.items()):
            responses.add_metric([str(status)], count)
        yield responses
        yield GaugeMetricFamily(_NAMES["pending"], "Records that wait to be written.", self._pending())
        yield GaugeMetricFamily(
            _NAMES["stale"], "Seconds for which the policies in force could not be confirmed.", self._stale()
        )
        yield from self._traffic()
        yield GaugeMetricFamily("onpurpose_streams", "Readers of event streams.", self.streams)
        yield CounterMetricFamily("onpurpose_streams_dropped", "Readers that were too slow.", self.dropped)

    def _traffic(self) -> Iterator[Metric]:
        """What became of messages to people, by channel."""
        messages = CounterMetricFamily(
            "onpurpose_messages", "Messages to people, by channel and what became of them.", labels=["channel", "fate"]
        )
        overdue = GaugeMetricFamily(
            "onpurpose_messages_overdue_seconds", "For how long the oldest message that is due waits.",
            labels=["channel"],
        )  # fmt: skip
        for channel, traffic in sorted(self._messages().items()):
            for fate in ("sent", "retried", "dead"):
                messages.add_metric([channel, fate], float(traffic[fate]))
            overdue.add_metric([channel], float(traffic["waiting_seconds"]))
        yield messages
        yield overdue

    def _histogram(self) -> HistogramMetricFamily:
        total, buckets = 0, []
        for end, count in zip((*map(str, BUCKETS), "+Inf"), self._latency, strict=True):
            total += count
            buckets.append((end, total))
        name, what = "onpurpose_evaluate_seconds", "From a call's body to its answer."
        return HistogramMetricFamily(name, what, buckets=buckets, sum_value=self._seconds)

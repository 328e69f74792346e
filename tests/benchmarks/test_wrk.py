from __future__ import annotations

import pytest

from benchmarks.programs import BenchmarkError
from benchmarks.wrk import parse

REPORT = """\
Running 3s test @ http://127.0.0.1:41233/bytes/1024
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   311.94us  181.66us   4.40ms   99.11%
    Req/Sec    71.78k     1.79k   73.07k    90.00%
  Latency Distribution
     50%  {p50}
     75%  343.00us
     90%  361.00us
     99%  429.00us
  212806 requests in 3.00s, 257.53MB read
{errors}Requests/sec:  70960.95
Transfer/sec:     85.88MB
"""


def report(p50: str = "314.00us", errors: str = "") -> str:
    return REPORT.format(p50=p50, errors=errors)


def test_a_report_gives_requests_rate_and_median() -> None:
    result = parse(report())

    assert (result.requests, result.per_s) == (212806, 70960.95)
    assert result.p50_ms == pytest.approx(0.314)


@pytest.mark.parametrize(
    ("printed", "p50_ms"),
    [("17.00us", 0.017), ("1.25ms", 1.25), ("2.00s", 2000), ("1.10m", 66_000)],
)
def test_the_median_is_in_milliseconds_whatever_its_unit(printed: str, p50_ms: float) -> None:
    assert parse(report(printed)).p50_ms == pytest.approx(p50_ms)


@pytest.mark.parametrize(
    "line",
    ["Socket errors: connect 0, read 3, write 0, timeout 0", "Non-2xx or 3xx responses: 212806"],
)
def test_a_report_with_errors_is_no_result(line: str) -> None:
    with pytest.raises(BenchmarkError, match=line):
        parse(report(errors=f"  {line}\n"))


def test_what_is_no_report_is_no_result() -> None:
    with pytest.raises(BenchmarkError, match="no report"):
        parse("unable to connect to 127.0.0.1:1 Connection refused\n")

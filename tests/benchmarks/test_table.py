from __future__ import annotations

from benchmarks.table import Readings, medians, ratios


def readings(**peers: list[float]) -> Readings:
    """Of the row `gets`, one for each round."""
    found = Readings()
    for peer, of in peers.items():
        for round_number, reading in enumerate(of, 1):
            found.add(round_number, peer, {"gets": reading})
    return found


def test_a_cell_is_the_median_of_the_rounds() -> None:
    assert readings(nginx=[3, 1000, 2]).median("gets", "nginx") == 3


def test_a_peer_without_readings_has_no_median() -> None:
    assert readings(nginx=[3]).median("gets", "ssh") is None


def test_a_ratio_is_taken_within_each_round_before_the_median() -> None:
    # The machine was faster in each round; the medians alone would say 9 / 3.
    found = readings(ours=[2, 9, 30], other=[1, 3, 30])

    assert found.ratio("gets", "ours", "other") == 2


def test_a_round_that_one_of_them_lacks_does_not_count() -> None:
    found = readings(ours=[3, 8], other=[1])

    assert found.ratio("gets", "ours", "other") == 3


def test_nothing_is_a_multiple_of_zero() -> None:
    assert readings(ours=[3], other=[0]).ratio("gets", "ours", "other") is None


def test_the_table_of_medians_has_a_column_a_peer_and_a_dash_for_what_is_missing() -> None:
    assert medians(readings(nginx=[29645.14]), ["nginx", "ssh"]) == (
        "| measure                                | unit |  nginx | ssh |\n"
        "| -------------------------------------- | ---- | -----: | --: |\n"
        "| 1 KiB GETs, keep-alive, 32 connections | 1/s  | 29,645 |   - |"
    )


def test_the_table_of_ratios_says_which_way_is_better() -> None:
    found = readings(ours=[8000], nginx=[32000])
    found.add(1, "ours", {"latency": 0.3})
    found.add(1, "nginx", {"latency": 0.1})

    lines = ratios(found, "ours", ["nginx"]).splitlines()

    assert [line.split("|")[2].strip() for line in lines[2:]] == ["more", "less"]
    assert [line.split("|")[3].strip() for line in lines[2:]] == ["0.25", "3.00"]


def test_without_readings_of_its_own_there_are_no_ratios() -> None:
    assert ratios(readings(nginx=[3]), "ours", ["nginx"]) == ""

from __future__ import annotations

import math

import pytest

from tunnel_client.identity.inquiry import Inquiry
from tunnel_client.identity.verdicts import (
    ASK_AGAIN_S,
    ORIGINS_MAX,
    PAGES_MAX,
    STRANGE_MAX,
    Standing,
    Verdicts,
)
from tunnel_client.settings.target import Target
from tunnel_client.settings.values import Mode

DEMO = "https://demo.example"
AT_PORT = "http://demo.example:8080"


def verdicts(*origins: str) -> Verdicts:
    made = Verdicts(Target.parse("3000"))
    for origin in origins:
        assert made.standing(origin) is not None
    return made


def standing(made: Verdicts) -> Standing:
    found = made.standing(DEMO)
    assert found is not None
    return found


def conclude(made: Verdicts, now: float, mode: str = "local", *, settled: bool = False) -> bytes:
    """Have the next inquiry end so; the path that it asked for."""
    inquiry = made.next(now)
    assert inquiry is not None
    inquiry.failed("a test says so")
    assert inquiry.verdict is not None
    inquiry.verdict = inquiry.verdict._replace(mode=mode, settled=settled)  # type: ignore[arg-type]  # a word
    made.conclude(inquiry)
    return inquiry.start


def test_an_origin_is_asked_about_once_when_it_is_first_seen() -> None:
    made = verdicts()
    assert made.due_at() == math.inf
    made = verdicts(DEMO, DEMO)
    assert made.due_at() == -math.inf
    assert conclude(made, 0) == b"/"
    made.standing(DEMO)
    assert made.next(1e9) is None
    assert made.due_at() == math.inf


def test_each_origin_has_its_own_verdict_and_three_are_enough() -> None:
    names = [DEMO, "http://demo.example", "https://other.example"]
    assert len(names) == ORIGINS_MAX
    made = verdicts()
    made.serve_at(DEMO)
    for name in names:
        assert made.standing(name) is not None
    for n, name in enumerate(names):
        conclude(made, n, "public" if n == 1 else "local")
        assert made.standing(name) is not None
    assert [one.mode for name in names if (one := made.standing(name))] == [
        "local",
        "public",
        "local",
    ]
    assert made.standing("http://one-more.example") is None
    assert made.next(1e9) is None


def strange(at_port: str) -> list[str]:
    """Origins as visitors can have a server make them."""
    return [f"{at_port}:{n}" for n in (1, 2, 3)] + [f"{at_port}.", f"{at_port}:", f"{at_port}.:1"]


@pytest.mark.parametrize("url", [DEMO, AT_PORT])
def test_ports_of_strangers_take_no_place_of_the_tunnels_own_origins(url: str) -> None:
    made = verdicts()
    made.serve_at(url)
    hosts = [*strange("http://demo.example"), *strange(DEMO)]
    assert sum(made.standing(origin) is not None for origin in hosts) == STRANGE_MAX
    assert made.standing("http://demo.example") is not None
    assert made.standing(url) is not None


def test_the_url_has_its_place_also_where_strangers_came_first() -> None:
    made = verdicts()
    for origin in strange("https://demo.example"):
        made.standing(origin)
    made.serve_at(DEMO)
    assert conclude(made, 0, "public") == b"/"
    assert standing(made).mode == "public"
    assert made.due_at() == math.inf


@pytest.mark.parametrize(
    ("origin", "has_place"),
    [
        ("http://demo.example", True),
        ("https://demo.example", True),
        ("https://demo.example:8080", True),
        ("http://demo.example:8081", False),
        ("http://demo.example:808", False),
        ("http://demo.example.", False),
        ("http://x.demo.example:8080", False),
    ],
)
def test_an_origin_is_expected_with_the_host_of_the_url_and_its_port_or_none(
    origin: str, has_place: bool
) -> None:
    made = verdicts()
    made.serve_at(AT_PORT)
    assert made.standing("http://demo.example:1") is not None
    assert (made.standing(origin) is not None) is has_place


def test_the_two_other_places_are_for_the_first() -> None:
    made = verdicts()
    made.serve_at(AT_PORT)
    assert made.standing(DEMO) is not None
    assert made.standing("http://demo.example") is not None
    assert made.standing("https://demo.example:8080") is None
    assert made.standing(AT_PORT) is not None


def test_under_another_name_all_is_asked_anew_and_what_is_under_way_counts_for_nothing() -> None:
    made = verdicts()
    made.serve_at(AT_PORT)
    inquiry = made.next(0)
    assert inquiry is not None
    made.serve_at(AT_PORT)  # connected again
    assert made.next(0) is None
    made.serve_at(DEMO)
    inquiry.failed("a test says so", "cut off")
    made.repeats(inquiry)
    made.conclude(inquiry)
    assert conclude(made, 1, "public") == b"/"
    assert standing(made).mode == "public"
    assert made.next(1e9) is None


@pytest.mark.parametrize(
    "origin", ["ftp://a.example", "https://", "https://a/b", "https://ä.example"]
)
def test_what_is_no_origin_is_never_asked_about(origin: str) -> None:
    assert Verdicts(Target.parse("3000")).standing(origin) is None


def test_an_app_that_was_away_is_asked_again_but_not_twice_in_ten_seconds() -> None:
    made = verdicts(DEMO)
    conclude(made, 100)
    made.came_up()
    made.came_up()
    assert made.due_at() == 100 + ASK_AGAIN_S
    assert made.next(109.9) is None
    conclude(made, 110, "public")
    assert standing(made).mode == "public"
    made.came_up()
    assert standing(made).mode == "public"  # until it is known better
    conclude(made, 200, "local")
    assert standing(made).mode == "local"


def test_where_nothing_listens_the_app_is_asked_as_soon_as_it_is_reached() -> None:
    made = verdicts(DEMO)
    inquiry = made.next(5)
    assert inquiry is not None
    made.not_reached(inquiry)
    assert made.next(1e9) is None
    made.came_up()
    assert isinstance(made.next(5.1), Inquiry)


def test_a_doubt_asks_for_the_page_that_decided() -> None:
    made = verdicts(DEMO)
    conclude(made, 0)
    standing(made).page_found(b"/app/")
    assert conclude(made, 1, "public") == b"/app/"
    standing(made).ask_again(new_life=False)
    assert made.next(10.9) is None
    assert conclude(made, 11, "local") == b"/app/"
    made.came_up()
    assert conclude(made, 30) == b"/"  # it decides nothing any more


def test_a_page_that_was_found_before_does_not_overturn_what_another_decided() -> None:
    made = verdicts(DEMO)
    conclude(made, 0)
    standing(made).page_found(b"/app/")
    standing(made).page_found(b"/login/")
    assert conclude(made, 1, "public") == b"/app/"
    assert made.next(1e9) is None
    assert (standing(made).mode, standing(made).start) == ("public", b"/app/")


def test_local_undoes_public_only_at_the_path_that_decided() -> None:
    made = verdicts(DEMO)
    conclude(made, 0, "public")
    one = standing(made)
    one.due[b"/other/"] = 1
    assert conclude(made, 1) == b"/other/"
    assert (one.mode, one.start) == ("public", b"/")


def test_an_app_that_was_away_during_an_inquiry_is_asked_again_whatever_its_verdict() -> None:
    made = verdicts(DEMO)
    conclude(made, 0)
    standing(made).page_found(b"/app/")
    inquiry = made.next(1)
    assert inquiry is not None
    made.came_up()
    inquiry.failed("a test says so")
    assert inquiry.verdict is not None
    inquiry.verdict = inquiry.verdict._replace(mode="public")
    made.conclude(inquiry)
    assert made.due_at() == 1 + ASK_AGAIN_S
    assert conclude(made, 11) == b"/app/"


def test_three_pages_elsewhere_are_asked_in_one_life_of_the_app() -> None:
    made = verdicts(DEMO)
    standing(made).page_found(b"/early/")
    assert conclude(made, 0) == b"/"
    for n in range(PAGES_MAX + 2):
        standing(made).page_found(b"/page-%d/" % n if n else b"/page/")
        standing(made).page_found(b"/")
    asked = []
    while (inquiry := made.next(1)) is not None:
        inquiry.failed("")
        made.conclude(inquiry)
        asked.append(inquiry.start)
    assert asked == [b"/page/", b"/page-1/", b"/page-2/"]
    assert not standing(made).wants_pages
    made.came_up()
    conclude(made, 100)
    assert standing(made).wants_pages


@pytest.mark.parametrize(("mode", "settled"), [("public", False), ("local", True)])
def test_no_page_is_wanted_where_the_first_has_said_it_all(mode: str, settled: bool) -> None:
    made = verdicts(DEMO)
    conclude(made, 0, mode, settled=settled)
    assert not standing(made).wants_pages
    standing(made).page_found(b"/app/")
    assert made.next(1) is None


@pytest.mark.parametrize(
    ("path", "is_asked"),
    [
        (b"/app/", True),
        (b"/wp-login.php", True),
        (b"/v2/docs", True),
        (b"/" + b"a" * 20, True),
        (b"/" + b"a" * 21, False),
        (b"/reset/8f14e45fceea167a5a36", False),
        (b"/12a4", False),
        (b"/a1", True),
        (b"/orders/2024", False),
        (b"/a" * 128, True),
        (b"/a" * 128 + b"/", False),
    ],
)
def test_no_path_is_asked_that_looks_like_a_link_for_one_use(path: bytes, is_asked: bool) -> None:
    made = verdicts(DEMO)
    conclude(made, 0)
    standing(made).page_found(path)
    assert (made.next(1) is not None) is is_asked


def test_one_that_stays_busy_is_asked_after_growing_pauses_and_stays_public() -> None:
    made = verdicts(DEMO)
    conclude(made, 0, "public")
    standing(made).ask_again(new_life=False)
    pauses = []
    for _ in range(9):
        at = made.due_at()
        inquiry = made.next(at)
        assert inquiry is not None
        inquiry.failed("its answers took too long")
        assert made.repeats(inquiry)
        pauses.append(made.due_at() - at)
    assert pauses == [10, 20, 40, 80, 160, 320, 640, 640, 640]
    assert standing(made).mode == "public"


@pytest.mark.parametrize("mode", ["local", "public"])
def test_one_that_breaks_off_is_asked_once_more(mode: Mode) -> None:
    made = verdicts(DEMO)
    conclude(made, 0, mode)
    standing(made).ask_again(new_life=False)
    for more in (True, False):
        inquiry = made.next(made.due_at())
        assert inquiry is not None
        inquiry.failed("it gave no answer", "cut off")
        assert made.repeats(inquiry) is more

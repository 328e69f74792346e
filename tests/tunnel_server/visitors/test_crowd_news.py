from __future__ import annotations

from collections.abc import Sequence

import pytest

from tunnel_server.visitors.crowd_news import NEWS_EVERY_S, CrowdNews

MORE = "; --max-connections allows more"


@pytest.mark.parametrize(
    ("waited", "turned_away", "said"),
    [
        (["a"], 0, "closed 1 connection that waited for longest: a had its share of the 8 places"),
        (["a"] * 2, 0, "closed 2 connections that waited for longest: a had its share of the 8"),
        (["a", "b", "a"], 0, ": several addresses had their shares of the 8 places"),
        ([None, None], 0, "closed 2 connections that waited for longest: all 8 places were taken"),
        (["a", None], 0, ": all 8 places were taken, or a had its share"),
        (["a", None, "b"], 0, ": all 8 places were taken, or several addresses had their shares"),
        ([None], 3, "closed 1 connection that waited for longest, and turned 3 new away: all 8"),
        (["a"], 1, ", and turned 1 new away: all 8 places were taken, or a had its share"),
        ([], 1, "turned 1 new connection away: all 8 places were taken"),
        ([], 2, "turned 2 new connections away: all 8 places were taken"),
    ],
)
def test_it_says_what_was_closed_whose_share_it_was_and_what_allows_more(
    waited: Sequence[str | None], turned_away: int, said: str
) -> None:
    news = CrowdNews(8)
    for key in waited:
        news.closed_for(key)
    for _ in range(turned_away):
        news.turned_away()
    told = news.told(0.0)
    assert told is not None
    assert said in told
    assert told.endswith(MORE)


def test_it_is_told_once_a_minute_and_what_came_meanwhile_then() -> None:
    news = CrowdNews(8)
    assert news.told(0.0) is None
    news.closed_for("a")
    assert news.told(5.0) is not None
    assert news.told(5.0 + NEWS_EVERY_S) is None
    for key in ("b", "b"):
        news.closed_for(key)
    assert repr(news) == "<CrowdNews of 2 closed and 0 turned away>"
    assert news.told(5.0 + NEWS_EVERY_S - 1) is None
    told = news.told(5.0 + NEWS_EVERY_S)
    assert told == (
        f"closed 2 connections that waited for longest: b had its share of the 8 places{MORE}"
    )

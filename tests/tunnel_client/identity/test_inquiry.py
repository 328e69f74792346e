"""The rule, with apps that are functions: a question in, an answer out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from tunnel_client.identity.inquiry import (
    REDIRECTS_MAX,
    AppAnswer,
    AppQuestion,
    IdentityVerdict,
    Inquiry,
)
from tunnel_client.identity.own_origins import AppOrigins
from tunnel_client.settings.target import Target

OWN, PUBLIC, MIXED = b"http://localhost:3000", b"https://demo.example", b"http://demo.example"
HTML = b"text/html"
AppFunction = Callable[[AppQuestion], AppAnswer]


def page(*links: bytes, more: bytes = b"") -> AppAnswer:
    return AppAnswer(200, HTML, body=b"".join(b"<a href='%b/x'>" % link for link in links) + more)


def refused(status: int = 403) -> AppAnswer:
    return AppAnswer(status, HTML)


def redirect(location: bytes) -> AppAnswer:
    return AppAnswer(302, HTML, location)


def by_name(question: AppQuestion) -> AppAnswer:
    return page(OWN if question.mode == "local" else PUBLIC)


def without_proto(question: AppQuestion) -> AppAnswer:
    return page(OWN if question.mode == "local" else MIXED)


def picky(question: AppQuestion) -> AppAnswer:
    return page(OWN) if question.mode == "local" else refused()


def next_dev(question: AppQuestion) -> AppAnswer:
    """Its page takes any name, and what is under /_next an Origin of its own alone."""
    if question.target == b"/_next/a.js":
        foreign = question.by_page and question.mode == "public"
        return refused() if foreign else AppAnswer(200, b"application/javascript")
    links = OWN if question.mode == "local" else PUBLIC
    return page(links, more=b"<script src=/_next/a.js></script>")


def with_scripts(question: AppQuestion) -> AppAnswer:
    if question.target.endswith(b".js"):
        return AppAnswer(200, b"application/javascript")
    answer = by_name(question)
    scripts = b"".join(b"<script type=module src='/%d.js'></script>" % n for n in range(5))
    return answer._replace(body=answer.body + scripts)


def mounted(question: AppQuestion) -> AppAnswer:
    if question.target == b"/app/":
        return by_name(question)
    return AppAnswer(404, b"application/json")


def forces_ssl(question: AppQuestion) -> AppAnswer:
    if question.mode == "local":
        return redirect(b"https://localhost:3000" + question.target)
    return page(PUBLIC)


def hates_proxies(question: AppQuestion) -> AppAnswer:
    return refused(400) if question.names_visitor else page()


def has_login(question: AppQuestion) -> AppAnswer:
    return redirect(b"/login") if question.target == b"/" else by_name(question)


def judge(app: AppFunction, start: bytes = b"/") -> tuple[IdentityVerdict, list[AppQuestion]]:
    inquiry = Inquiry(AppOrigins(Target.parse("3000"), PUBLIC.decode()), start)
    asked = []
    while inquiry.question is not None:
        asked.append(inquiry.question)
        inquiry.answered(app(inquiry.question))
    assert inquiry.verdict is not None
    assert inquiry.verdict.asks == len(asked)
    assert len(asked) <= 9 + REDIRECTS_MAX * 2
    return inquiry.verdict, asked


def always(answer: AppAnswer) -> AppFunction:
    return lambda question: answer


REFUSED, SCHEME, PINNED = "refuses its public name", "X-Forwarded-Proto", "a setting of the app"


@pytest.mark.parametrize(
    ("app", "mode", "asks", "hint"),
    [
        (always(page()), "local", 1, ""),
        (always(page(b"http://localhost:4000")), "local", 1, ""),
        (always(AppAnswer(200, b"application/json", body=OWN)), "local", 1, ""),
        (always(AppAnswer(200, b"")), "local", 1, ""),
        (always(refused(401)), "local", 1, ""),
        (always(refused(404)), "local", 1, ""),
        (always(refused(500)), "local", 1, ""),
        (always(redirect(b"https://sso.example/auth?back=http://localhost:3000/")), "local", 1, ""),
        (always(redirect(b"/")), "local", 1, ""),
        (always(AppAnswer(302, HTML)), "local", 1, ""),
        (by_name, "public", 5, ""),
        (with_scripts, "public", 9, ""),
        (has_login, "public", 7, ""),
        (mounted, "local", 1, ""),
        (forces_ssl, "public", 2, ""),
        (always(redirect(b"https://localhost:3000/")), "local", 2, ""),
        (hates_proxies, "local", 2, "X-Forwarded-For"),
        (always(refused(400)), "local", 2, ""),
        (picky, "local", 2, f"{REFUSED} (403)"),
        (next_dev, "local", 6, f"{REFUSED} at /_next/a.js (403)"),
        (without_proto, "local", 2, SCHEME),
        (always(page(OWN)), "local", 2, PINNED),
        (always(page(OWN, PUBLIC)), "local", 2, PINNED),
    ],
)
def test_verdict(app: AppFunction, mode: str, asks: int, hint: str) -> None:
    verdict, _ = judge(app)
    assert (verdict.mode, verdict.asks) == (mode, asks)
    assert hint in (verdict.hint or "")
    assert bool(verdict.hint) is bool(hint)


def test_questions_are_those_of_either_identity_in_this_order() -> None:
    _, asked = judge(with_scripts)
    assert asked == [
        AppQuestion(b"/", "local"),
        AppQuestion(b"/", "public"),
        AppQuestion(b"/", "local", by_page=True),
        AppQuestion(b"/", "public", by_page=True),
        AppQuestion(b"/0.js", "local", by_page=True),
        AppQuestion(b"/0.js", "public", by_page=True),
        AppQuestion(b"/1.js", "local", by_page=True),
        AppQuestion(b"/1.js", "public", by_page=True),
        AppQuestion(b"/", "local"),
    ]


@pytest.mark.parametrize(
    "part", [b"<script ", b"<link href=", b"<script src=a", b"http://localhost:3000"]
)
def test_a_page_of_beginnings_is_read_in_a_moment(part: bytes) -> None:
    """Read anew from each of them, a MiB would take hours."""

    def app(question: AppQuestion) -> AppAnswer:
        answer = by_name(question)
        many = part.replace(OWN, OWN if question.mode == "local" else PUBLIC)
        return answer._replace(body=answer.body + many * ((1 << 20) // len(part)))

    assert judge(app)[0].mode == "public"


def test_a_path_elsewhere_is_asked_as_the_first_page_is() -> None:
    verdict, asked = judge(mounted, b"/app/")
    assert (verdict.mode, verdict.path) == ("public", b"/app/")
    assert {question.target for question in asked} == {b"/app/"}


def test_the_path_of_a_verdict_is_that_behind_redirects() -> None:
    verdict, asked = judge(has_login)
    assert verdict.path == b"/login"
    assert [question.target for question in asked] == [b"/", *4 * [b"/login"], b"/", b"/login"]


@pytest.mark.parametrize(("redirects", "asks"), [(REDIRECTS_MAX, 10 + 1), (REDIRECTS_MAX + 1, 4)])
def test_redirects_are_followed_three_times(redirects: int, asks: int) -> None:
    def app(question: AppQuestion) -> AppAnswer:
        at = int(question.target[1:] or b"0")
        return redirect(b"/%d" % (at + 1)) if at < redirects else by_name(question)

    verdict, asked = judge(app)
    assert verdict.mode == ("public" if redirects == REDIRECTS_MAX else "local")
    assert len(asked) == asks


def flaps(*answers: AppAnswer) -> AppFunction:
    """Each question has the next answer, whoever asks."""
    number = count()
    return lambda question: answers[min(next(number), len(answers) - 1)]


@pytest.mark.parametrize(
    "app",
    [
        flaps(page(OWN), page(PUBLIC), page(), page(), page(PUBLIC)),  # it remembers
        flaps(page(OWN), page(PUBLIC), page(), page(), page()),  # names itself at random
        flaps(page(OWN), page(PUBLIC), page(), page(), refused(500)),
        flaps(page(OWN), page(PUBLIC), page(), page(), page(OWN)._replace(status=500)),
        flaps(page(OWN), page(PUBLIC), page(), page(), page(OWN)._replace(media_type=b"")),
    ],
)
def test_an_app_whose_first_answer_is_not_its_last_is_left_alone(app: AppFunction) -> None:
    verdict, _ = judge(app)
    assert (verdict.mode, verdict.asks, verdict.hint) == ("local", 5, None)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (page(), "follow"),  # neither origin
        (page(OWN), "follow"),
        (page(PUBLIC, OWN), "follow"),
        (page(PUBLIC, MIXED), "scheme"),
        (page(MIXED, OWN), "follow"),
        (AppAnswer(200, b"application/xhtml+xml", body=PUBLIC), "200 application/xhtml+xml"),
        (redirect(PUBLIC), "302"),
        (refused(500), "500"),
    ],
)
def test_one_link_that_is_not_right_by_the_public_name_is_enough(
    second: AppAnswer, why: str
) -> None:
    verdict, _ = judge(flaps(page(OWN), second))
    assert (verdict.mode, verdict.asks, verdict.settled) == ("local", 2, True)
    assert why in verdict.reason
    assert verdict.hint is not None


@pytest.mark.parametrize(
    ("public_link", "by_public", "mode"),
    [
        (b"", b"wss://demo.example/s", "public"),
        (PUBLIC, b"wss://demo.example/s", "public"),
        (PUBLIC, b"ws://demo.example/s", "local"),
        (b"", b"ws://demo.example/s", "local"),
    ],
)
def test_a_socket_must_have_the_right_scheme_as_a_link_must(
    public_link: bytes, by_public: bytes, mode: str
) -> None:
    def app(question: AppQuestion) -> AppAnswer:
        own = question.mode == "local"
        socket = b"ws://localhost:3000/s" if own else by_public
        links = [OWN if own else public_link] if public_link else []
        return page(*links, more=b"<script>new WebSocket('%b')</script>" % socket)

    verdict, _ = judge(app)
    assert verdict.mode == mode
    assert mode == "public" or "scheme" in verdict.reason


def test_no_hint_where_the_page_only_shows_its_url() -> None:
    app = flaps(AppAnswer(200, HTML, body=b"<p>I am at http://localhost:3000</p>"), refused())
    assert judge(app)[0].hint is None


def test_origins_in_location_and_link_count_as_well() -> None:
    def app(question: AppQuestion) -> AppAnswer:
        own = OWN if question.mode == "local" else PUBLIC
        return AppAnswer(200, HTML, links=b"<%b/next>; rel=next" % own)

    assert judge(app)[0].mode == "public"


def test_https_is_wanted_only_where_visitors_have_it() -> None:
    inquiry = Inquiry(AppOrigins(Target.parse("3000"), "http://demo.example"))
    inquiry.answered(redirect(b"https://localhost:3000/"))
    assert inquiry.verdict is not None
    assert (inquiry.verdict.mode, inquiry.verdict.asks) == ("local", 1)


def test_a_failure_is_local_at_any_point() -> None:
    for answers in range(5):
        inquiry = Inquiry(AppOrigins(Target.parse("3000"), PUBLIC.decode()))
        for _ in range(answers):
            assert inquiry.question is not None
            inquiry.answered(by_name(inquiry.question))
        inquiry.failed("its answers took too long")
        assert inquiry.question is None
        assert inquiry.verdict is not None
        assert inquiry.verdict[:4] == ("local", b"/", "its answers took too long", answers + 1)


def test_visitors_are_worth_waiting_only_once_an_own_origin_was_found() -> None:
    inquiry = Inquiry(AppOrigins(Target.parse("3000"), PUBLIC.decode()))
    assert (inquiry.is_answered, inquiry.found_own) == (False, False)
    inquiry.answered(page(OWN))
    assert (inquiry.is_answered, inquiry.found_own) == (True, True)

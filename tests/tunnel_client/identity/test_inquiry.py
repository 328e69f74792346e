"""The rule, with apps that are functions: a question in, an answer out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from tunnel_client.identity.inquiry import REDIRECTS_MAX, IdentityVerdict, Inquiry
from tunnel_client.identity.own_origins import AppOrigins
from tunnel_client.identity.questions import AppAnswer, AppQuestion
from tunnel_client.settings.target import Target

OWN, PUBLIC, MIXED = b"http://localhost:3000", b"https://demo.example", b"http://demo.example"
HTML = b"text/html"
# Nine, with redirects to the page twice; and what tells that it goes round no more, likewise.
ASKS_MAX = 9 + REDIRECTS_MAX * 2 + 2 + REDIRECTS_MAX
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
    assert len(asked) <= ASKS_MAX
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
        (forces_ssl, "public", 3, ""),
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
    # Elsewhere it may be the text of a visitor; that the name is refused is the app's doing.
    elsewhere, _ = judge(flaps(page(OWN), second), b"/forum")
    assert (elsewhere.mode, elsewhere.settled) == ("local", why not in ("follow", "scheme"))
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


def to_https(question: AppQuestion, path: bytes = b"") -> AppAnswer:
    return redirect(b"https://localhost:3000" + (path or question.target))


def at_its_login(question: AppQuestion) -> AppAnswer:
    """Rails with force_ssl and a login: its first page is none by any name."""
    if question.mode == "local":
        return to_https(question)
    return redirect(PUBLIC + b"/login") if question.target == b"/" else page(PUBLIC)


def by_https_at(path: bytes, app: AppFunction) -> AppFunction:
    """An app whose first page leads to another path by https."""

    def answers(question: AppQuestion) -> AppAnswer:
        public = question.mode == "public"
        if question.target == b"/":
            return redirect(PUBLIC + path) if public else to_https(question, path)
        return app(question)

    return answers


def once(times: int, app: AppFunction) -> AppFunction:
    """It redirects the first questions to its own https, and no more."""
    number = count()

    def answers(question: AppQuestion) -> AppAnswer:
        wants = question.mode == "local" and next(number) < times
        return to_https(question) if wants else app(question)

    return answers


def ever_further(question: AppQuestion) -> AppAnswer:
    if question.mode == "public":
        return page(PUBLIC)
    return to_https(question, question.target + b"a")


@pytest.mark.parametrize(
    ("app", "mode", "asks", "path"),
    [
        (forces_ssl, "public", 3, b"/"),
        (at_its_login, "public", 4, b"/"),
        (by_https_at(b"/in", forces_ssl), "public", 4, b"/in"),
        (by_https_at(b"/?in=1", forces_ssl), "public", 4, b"/?in=1"),
        # What redirects once is judged by its page, as any other.
        (once(1, always(page())), "local", 3, b"/"),
        (once(1, always(page(OWN))), "local", 4, b"/"),
        (once(1, by_name), "public", 7, b"/"),
        (once(1, always(redirect(b"https://sso.example/"))), "local", 2, b"/"),
        (once(2, by_name), "public", 3, b"/"),  # nobody waits for ever
        # So is one behind a redirect to its own https at another path.
        (by_https_at(b"/in", always(page())), "local", 2, b"/in"),
        (by_https_at(b"/in", by_name), "public", 7, b"/in"),
        (by_https_at(b"/in", without_proto), "local", 3, b"/in"),
        (by_https_at(b"/in", always(refused())), "local", 2, b"/in"),
        (ever_further, "local", 1 + REDIRECTS_MAX, b"/aaa"),
    ],
)
def test_a_redirect_to_the_own_https_is_followed_until_it_goes_round(
    app: AppFunction, mode: str, asks: int, path: bytes
) -> None:
    verdict, _ = judge(app)
    assert (verdict.mode, verdict.asks) == (mode, asks)
    assert verdict.path.split(b"?")[0] == path.split(b"?")[0]


def test_what_goes_round_is_asked_before_and_behind_its_page() -> None:
    _, asked = judge(forces_ssl)
    assert [(question.target, question.mode) for question in asked] == [
        (b"/", "local"),
        (b"/", "public"),
        (b"/", "local"),
    ]


@pytest.mark.parametrize(
    ("by_public", "mode", "hint"),
    [
        (page(), "public", ""),
        (page(PUBLIC), "public", ""),
        (page(OWN), "public", PINNED),
        (page(MIXED), "public", "turn on ProxyFix"),
        (refused(), "local", ""),
        (AppAnswer(200, b"application/json"), "local", ""),
        (redirect(MIXED + b"/"), "local", ""),
    ],
)
def test_a_page_with_wrong_links_is_better_than_redirects_for_ever(
    by_public: AppAnswer, mode: str, hint: str
) -> None:
    """As itself the app has no page at all; what its page lacks is told."""
    verdict, _ = judge(
        lambda question: to_https(question) if question.mode == "local" else by_public
    )
    assert verdict.mode == mode
    assert hint in (verdict.hint or "")
    assert bool(verdict.hint) is bool(hint)


def test_no_app_is_asked_more_often_than_one_that_stops_to_go_round() -> None:
    """With redirects to the page each time, and two scripts on it."""
    number = count()

    def app(question: AppQuestion) -> AppAnswer:
        if question.by_page or question.target == b"/end":
            return with_scripts(question)
        step = int(question.target[1:] or b"0")
        if step < REDIRECTS_MAX:
            return redirect(b"/%d" % (step + 1))
        return to_https(question) if next(number) == 0 else with_scripts(question)

    def also_by_name(question: AppQuestion) -> AppAnswer:
        further = {b"/3": b"/p1", b"/p1": b"/p2", b"/p2": b"/end"}
        is_first = question.mode == "public" and not done
        if is_first and question.target in further:
            return redirect(further[question.target])
        if question.target == b"/end":
            done.append(question)
        return app(question)

    done: list[AppQuestion] = []
    verdict, asked = judge(also_by_name)
    assert verdict.mode == "public"
    assert len(asked) == ASKS_MAX


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

"""Names under which secrets travel, and queries without their values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tunnel_client.observing.masks import (
    MASK,
    SECRET_MIN_CHARS,
    is_secret,
    is_secret_name,
    masked_query,
)

LONG = "abcdefgh"
SECRET_NAMES = """
    Authorization PROXY-AUTHORIZATION Cookie set_cookie X-Api-Key x-amz-credential token
    access_token csrfToken X-Amz-Security-Token client_secret Password user[password] passwd
    X-Hub-Signature-256 apikey api-key api_key OPENAI_API_KEY apiKey jwt x-jwt sig auth basic-auth
    pwd pWd userPwd dbPWD pin user[pin] card.pin otp OTP otp_1
""".split()
PLAIN_NAMES = """
    path author auth_method authors pinned design signal spin option pin_style cookies Accept code
    state key X-Amz-Date [] Ünïcode
""".split()


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_text_under_these_names_is_secret(name: str) -> None:
    assert is_secret(name, LONG)


@pytest.mark.parametrize("name", ["", "=", *PLAIN_NAMES])
def test_text_under_other_names_is_shown(name: str) -> None:
    assert not is_secret(name, LONG)


def test_text_is_secret_from_eight_characters_on() -> None:
    assert is_secret("token", "x" * SECRET_MIN_CHARS)
    assert not is_secret("token", "x" * (SECRET_MIN_CHARS - 1))


@pytest.mark.parametrize("value", [123456789, 1e300, True, None, {"a": LONG}, [LONG]])
def test_what_is_no_text_is_never_secret(value: object) -> None:
    assert not is_secret("prompt_tokens", value)


@pytest.mark.parametrize(
    ("siblings", "secret"), [((), False), (("code",), False), (("code", "STATE"), True)]
)
def test_a_code_is_secret_beside_a_state(siblings: tuple[str, ...], secret: bool) -> None:
    assert is_secret("code", LONG, siblings) is secret
    assert not is_secret("state", LONG, siblings)


@pytest.mark.parametrize(
    ("target", "masked"),
    [
        ("/", "/"),
        ("/?", "/?"),
        ("/token=abcdefgh", "/token=abcdefgh"),  # a path
        ("/?token=abcdefgh", f"/?token={MASK}"),
        ("/?token=abcdefg", "/?token=abcdefg"),
        ("/?token=%61%62%63%64%65%66%67", "/?token=%61%62%63%64%65%66%67"),  # 7 characters
        ("/?token=%61%62%63%64%65%66%67%68", f"/?token={MASK}"),
        ("/?a=1&%74oken=abcdefgh&b=%20+", f"/?a=1&%74oken={MASK}&b=%20+"),
        ("/?token=a=b=c?d/efgh&&x", f"/?token={MASK}&&x"),
        ("/?a=1;token=abcdefgh;b=2&c=3", f"/?a=1;token={MASK}&c=3"),
        ("/?token=abcd;efgh", f"/?token={MASK}"),
        ("/?token", "/?token"),
        ("/?token=", "/?token="),
        ("/?code=abcdefgh&state=ijklmnop", f"/?code={MASK}&state=ijklmnop"),
        ("/?code=abcdefgh&%53tat%65=1", f"/?code={MASK}&%53tat%65=1"),
        ("/?code=abcdefgh", "/?code=abcdefgh"),
        ("/?code=abcdefgh&mystate=1", "/?code=abcdefgh&mystate=1"),
        (
            "https://a.example/b?c#access_token=abcdefgh",
            f"https://a.example/b?c#access_token={MASK}",
        ),
        ("https://a.example/b#access_token=abcdefgh", f"https://a.example/b#access_token={MASK}"),
        ("/?token=%ff%fe%zz%%%%%%", f"/?token={MASK}"),
    ],
)
def test_secret_values_of_a_query_are_masked(target: str, masked: str) -> None:
    assert masked_query(target) == masked


def test_a_mask_may_say_more_of_the_value() -> None:
    assert masked_query("/?sig=abcdefgh", lambda value: value[:1]) == "/?sig=a"


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/abcdefghi", "/abcdefghi"),
        ("/abcdefghij", "/abcdefghi..."),
        ("/abcdefghij?token=abcdefgh", "/abcdefghi..."),
        ("/?sig=abcdefgh", f"/?sig={MASK}"),
        ("/?sig=abcdefgh&b", f"/?sig={MASK}&..."),
        ("/?code=abcdefgh&c=" + "d" * 100 + "&state=1", f"/?code={MASK}..."),
        ("/?a=1234&sig=abcdefgh", "/?a=1234&s..."),
    ],
)
def test_what_is_cut_is_masked_before(target: str, shown: str) -> None:
    assert masked_query(target, chars_max=10) == shown


@settings(max_examples=50)
@given(st.text())
def test_any_name_and_any_query_are_taken(text: str) -> None:
    is_secret_name(text, [text])
    masked_query(text)


@given(
    st.lists(
        st.tuples(st.sampled_from(PLAIN_NAMES[:10]), st.from_regex(r"[a-z%+;/]*", fullmatch=True))
    )
)
def test_a_query_without_secrets_stays_as_it_is(pairs: list[tuple[str, str]]) -> None:
    target = "/?" + "&".join(f"{name}={value}" for name, value in pairs)
    assert masked_query(target) == target


@pytest.mark.parametrize("pair", ["code=1&", "state=&", ";=", "token=&", "a;token=", "%%%%"])
def test_a_hostile_query_costs_no_more_than_its_length(pair: str) -> None:
    """8 KiB of it, as long as a target may be."""
    target = "/?" + pair * (8_192 // len(pair))
    assert len(masked_query(target)) <= len(target) + len(MASK)
    assert len(masked_query(target, chars_max=160)) <= 163

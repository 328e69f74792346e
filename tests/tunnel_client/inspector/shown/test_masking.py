from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tunnel_client.inspector.shown.json_tree import json_tree, masked_json
from tunnel_client.inspector.shown.masking import MASK, Masks

KEY = bytes(range(16))
SECRET = "correct-horse-battery"


def masks() -> Masks:
    return Masks(KEY)


def test_equal_values_have_equal_tags_and_others_others() -> None:
    one = masks()
    assert one.mask(SECRET) == masks().mask(SECRET)
    assert one.mask(SECRET) != one.mask(SECRET + "x")
    assert one.mask(SECRET).startswith(MASK)
    assert len(one.mask(SECRET)) == len(MASK) + 4
    assert Masks(bytes(16)).mask(SECRET) != one.mask(SECRET)
    assert one.count == 6


def test_nothing_is_masked_once_it_is_off() -> None:
    off = Masks(KEY, is_on=False)
    assert off.value("token", SECRET) == SECRET
    assert off.query(f"/?token={SECRET}") == f"/?token={SECRET}"
    assert off.field("Cookie", f"a={SECRET}") == f"a={SECRET}"
    assert off.count == 0


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", f"Bearer {SECRET}", "Bearer *"),
        ("authorization", SECRET, "*"),
        ("Cookie", f"a={SECRET}; theme=dark; b={SECRET}", "a=*; theme=dark; b=*"),
        (
            "Set-Cookie",
            f"id={SECRET}; Path=/somewhere; HttpOnly",
            "id=*; Path=/somewhere; HttpOnly",
        ),
        ("X-Api-Key", SECRET, "*"),
        ("X_Api_Key", SECRET, "*"),
        ("Stripe-Signature", f"t=1,v1={SECRET}", "*"),
        ("Referer", f"https://a.example/?token={SECRET}&a=1", "https://a.example/?token=*&a=1"),
        ("Location", f"/#access_token={SECRET}", "/#access_token=*"),
        ("Content-Type", "text/html; charset=utf-8", "text/html; charset=utf-8"),
        ("Accept", "application/json, text/plain", "application/json, text/plain"),
    ],
)
def test_fields(name: str, value: str, shown: str) -> None:
    one = masks()
    found = one.field(name, value)
    assert SECRET not in found or "*" not in shown
    for tag in {found[at : at + 8] for at in range(len(found)) if found.startswith(MASK, at)}:
        found = found.replace(tag, "*")
    assert found == shown


names = st.sampled_from(["token", "user", "a", "apiKey", "code", "state", "list", "prompt_tokens"])
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.just(SECRET), st.floats()
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=20,
)


def secrets_left(node: list[Any], name: str = "") -> bool:
    if node[0] == "object":
        return any(secrets_left(inner, each) for each, inner in node[1])
    if node[0] == "array":
        return any(secrets_left(inner, name) for inner in node[1])
    return node == ["string", SECRET] and name in ("token", "apiKey")


@given(values, st.sampled_from([None, 2]))
def test_json_is_masked_alike_as_a_tree_and_as_text(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    tree = json_tree(text, masks())
    assert tree.root is not None
    assert not secrets_left(tree.root)
    # The text is masked under the same names, and else as it was.
    off = Masks(KEY, is_on=False)
    again = json_tree(masked_json(text, masks()), off)
    assert again.root is not None
    assert not secrets_left(again.root)
    assert masked_json(text, off) == text


@given(values, st.integers(0, 400))
def test_no_cut_shows_a_secret_that_the_whole_would_not(value: Any, cut: int) -> None:
    text = json.dumps({"token": SECRET, "data": value})
    shown = masked_json(text[:cut], masks())
    assert f'"token": "{SECRET[:8]}' not in shown


@given(st.text(alphabet='{}[]",:\\ab\n token', max_size=60))
def test_garbage_is_no_error(text: str) -> None:
    masked_json(text, masks())
    json_tree(text, masks())


def test_a_code_beside_a_state_and_numbers() -> None:
    text = json.dumps({"code": SECRET, "state": "x", "prompt_tokens": 123456789})
    assert SECRET not in masked_json(text, masks())
    assert "123456789" in masked_json(text, masks())
    alone = json.dumps({"code": SECRET})
    assert SECRET in masked_json(alone, masks())
    assert SECRET not in masked_json(alone[:-1], masks(), is_cut=True)


def test_a_name_or_a_value_with_escapes_is_seen() -> None:
    text = f'{{"\\u0074oken": "{SECRET}", "token": "a\\"{SECRET}"}}'
    assert SECRET not in masked_json(text, masks())

"""Messages made from text are those that core.snapshot builds."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.encoding import decode, encode
from airflow_provider_looker_segment.core.history import Told
from airflow_provider_looker_segment.core.snapshot import Composer, Names, Rules, skeleton
from airflow_provider_looker_segment.core.splicing import UNKNOWN, Splicer

RULES = [
    Rules("changed"),
    Rules("mirror", "membership", "in"),
    Rules("mirror", "membership", 'in "quotes"'),
    Rules("mirror", "clear"),
]
NAMES = ["email", "name", "in", 'in "quotes"', "a", 'an "email', 'c"', ',"traits":{', "\\"]

texts = st.text(max_size=4) | st.sampled_from(
    ['"', "\\", '\\"', ',"', ',"traits":{', '"email":"', "}}", "e@x"]
)
bodies = st.fixed_dictionaries(
    {"traits": st.dictionaries(st.sampled_from(NAMES), st.none() | st.integers() | texts)},
    optional={
        "userId": texts,
        "anonymousId": texts,
        "context": st.fixed_dictionaries({"groupId": texts}),
        "integrations": st.just({"All": False}),
    },
)


def mapped(said: dict[str, Any]) -> dict[str, Any]:
    """Order the parts of a message as mapping does."""
    names = ("userId", "anonymousId", "context", "traits", "integrations")
    found = {"userId": "u", **said} if "anonymousId" not in said else said
    email = found["traits"].get("email")
    if email is not None:
        found = {**found, "traits": {**found["traits"], "email": str(email)}}
    return {name: found[name] for name in names if name in found}


@given(
    rules=st.sampled_from(RULES),
    said=st.lists(bodies.map(mapped), min_size=1, max_size=4),
    told=st.sampled_from([Told.IN, Told.LEFT]),
    known=st.integers(0, 2 ** len(NAMES) - 1),
)
@example(
    rules=RULES[1],
    said=[{"userId": "u", "traits": {"email": 'a"b', "a": None}}],
    told=Told.IN,
    known=255,
)
@example(
    rules=RULES[1],
    said=[{"userId": "u", "traits": {'an "email': "other", "email": "e@x"}}],
    told=Told.IN,
    known=0,
)
def test_what_is_spliced_is_what_is_built(
    rules: Rules, said: list[dict[str, Any]], told: Told, known: int
) -> None:
    """The same text, names and skeleton, or none of them where a message is not plain."""
    names, others = Names(NAMES), Names(NAMES)
    splicer, composer = Splicer(rules, names), Composer(rules, others)
    for body in said:
        text, shape = encode(body), splicer.shape(body)
        message, after = composer.message(body, told, known)

        expected = encode(message), len(message["traits"]), after
        ending = splicer.ending(shape, told, known)
        assert ending is None or (ending.after(text), *ending[1:]) == expected
        kept = splicer.skeleton(text, shape)
        assert kept is None or decode(kept) == skeleton(body)
    assert others.as_list() == names.as_list()


def test_ordinary_messages_are_plain() -> None:
    """Those of ordinary Looks need not be parsed, in either mode."""
    body = {"userId": "u", "context": {"groupId": "g"}, "traits": {"email": "e@x", "a": None}}
    for rules in RULES:
        splicer = Splicer(rules, Names())
        shape = splicer.shape(body)
        assert splicer.ending(shape, Told.IN, 0) is not None
        assert splicer.skeleton(encode(body), shape) is not None


def test_what_is_not_plain_is_left_to_others() -> None:
    """Integrations after the traits, a message without traits, the membership trait as a column."""
    splicer = Splicer(RULES[1], Names())
    plain = {"userId": "u", "traits": {"a": 1}}

    for body in (
        {**plain, "integrations": {"All": False}},
        {"userId": "u", "traits": {}},
        {"userId": "u", "traits": {"in": 1}},
    ):
        assert splicer.shape(body) == UNKNOWN
    assert splicer.ending(UNKNOWN, Told.IN, 0) is None
    assert splicer.skeleton(encode(plain), UNKNOWN) is None

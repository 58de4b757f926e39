"""What a destination requires of an identify call, as a rule.

A rule enters as the catalogue writes it; a JSON Schema of the message leaves, with the words
for people and the few facts about a message that its verdict depends on.
No value of a message is ever changed, kept or shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_looker_segment.exceptions import PermanentError

Message = Mapping[str, Any]
"""The body of one identify call: ``userId``, ``anonymousId``, ``traits``, ``context``, …"""

Path = tuple[str, ...]
"""Keys from the message down to one value; a trait's name is one key, dots and all."""

Signature = Callable[[Message], int]
"""Which of a rule's facts hold for a message, one bit each; equal numbers get equal verdicts."""

DRAFT = "https://json-schema.org/draft/2020-12/schema"
"""The dialect every compiled rule is written in."""

EMAIL_LIKE = r"^[^@\s]+@[^@\s]+$"
"""An identifier of this shape counts as an e-mail address where a destination says it does.

Source: https://github.com/segmentio/facade (``email()`` falls back to such a ``userId``)
"""

_NOT_BLANK = r"\S"
_NOTHING: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Has:
    """One value of the message is there and not blank.

    :param path: where it stands.
    :param min_length: characters it must have at least; 0 asks for no length.
    :param like_email: whether it must look like an e-mail address.
    """

    path: Path
    min_length: int = 0
    like_email: bool = False

    def schema(self) -> dict[str, Any]:
        """Compile to a JSON Schema of the whole message."""
        result: dict[str, Any] = {
            "type": ["string", "number", "boolean"] if self._scalar() else "string",
            "pattern": EMAIL_LIKE if self.like_email else _NOT_BLANK,
        }
        if self.min_length:
            result["minLength"] = self.min_length
        for key in reversed(self.path):
            result = {"type": "object", "required": [key], "properties": {key: result}}
        return result

    def test(self) -> Callable[[Any], bool]:
        """Build the check of the value itself; it agrees with :meth:`schema` on every value."""
        if self.is_demanding:
            enough = self.test_of_text()
            return lambda value: _is_text(value) and enough(value)
        return _is_scalar if self._scalar() else _is_text

    def test_of_text(self) -> Callable[[str], bool]:
        """Build what a demanding leaf asks of text that is not blank."""
        least = self.min_length
        if not self.like_email:
            return lambda text: len(text) >= least
        return lambda text: len(text) >= least and _is_email_like(text)

    @property
    def is_demanding(self) -> bool:
        """Whether more is asked of text than not to be blank."""
        return bool(self.min_length or self.like_email)

    def _scalar(self) -> bool:
        """Any trait may be a number unless its text is looked at; an identifier is text."""
        looked_at = self.is_demanding or self.path[-1] == "email"
        return self.path[0] == "traits" and not looked_at

    def leaves(self) -> Iterator[Has]:
        """Walk the facts a verdict depends on."""
        yield self

    def holds(self, message: Message) -> bool:
        """Tell whether the message has the value."""
        return signature([self])(message) == 1

    def code(self) -> str:
        """Name the condition in lower case: ``email``, ``user_id_of_5_characters``."""
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", "_".join(self.path[-1:]))
        name = re.sub(r"\W+", "_", words).strip("_").lower()
        if self.path[0] == "integrations":
            name = f"{self.path[1].lower()}_{name}"
        length = f"_of_{self.min_length}_characters" if self.min_length else ""
        return name + length + ("_like_email" if self.like_email else "")

    def words(self) -> str:
        """Say the condition as the end of "it needs …"."""
        if self.path[0] == "traits":
            return f"a trait `{self.path[-1]}`"
        name = f"`{'.'.join(self.path)}`"
        if self.like_email:
            return f"a {name} that is an e-mail address"
        return f"a {name} of {self.min_length} characters or more" if self.min_length else name


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the conditions holds."""

    conditions: tuple[Condition, ...]

    def schema(self) -> dict[str, Any]:
        """Compile to a JSON Schema of the whole message."""
        return {"anyOf": [condition.schema() for condition in self.conditions]}

    def leaves(self) -> Iterator[Has]:
        """Walk the facts a verdict depends on."""
        return (leaf for condition in self.conditions for leaf in condition.leaves())

    def code(self) -> str:
        """Name the condition in lower case; spellings of one trait count once."""
        return "_or_".join(self._distinct())

    def words(self) -> str:
        """Say the condition as the end of "it needs …", the other ways in brackets."""
        first, *others = (condition.words() for condition in self._distinct().values())
        if first.startswith("a trait "):
            others = [words.replace("a trait ", "") for words in others]
        return f"{first} (or {', or '.join(others)})" if others else first

    def _distinct(self) -> dict[str, Condition]:
        distinct: dict[str, Condition] = {}
        for condition in self.conditions:
            distinct.setdefault(condition.code(), condition)
        return distinct


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of the conditions holds."""

    conditions: tuple[Condition, ...]

    def schema(self) -> dict[str, Any]:
        """Compile to a JSON Schema of the whole message."""
        return {"allOf": [condition.schema() for condition in self.conditions]}

    def leaves(self) -> Iterator[Has]:
        """Walk the facts a verdict depends on."""
        return (leaf for condition in self.conditions for leaf in condition.leaves())

    def code(self) -> str:
        """Name the condition in lower case."""
        return "_and_".join(condition.code() for condition in self.conditions)

    def words(self) -> str:
        """Say the condition as the end of "it needs …"."""
        return " and ".join(condition.words() for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class NamedTraits:
    """The traits whose names the user gives as a parameter are there; none unless given."""

    parameter: str

    def schema(self) -> dict[str, Any]:
        """Compile to a JSON Schema that accepts everything: no trait is named yet."""
        return {}

    def leaves(self) -> Iterator[Has]:
        """Walk the facts a verdict depends on: none yet."""
        return iter(())

    def code(self) -> str:
        """Name the condition in lower case."""
        return f"traits_of_{self.parameter}"

    def words(self) -> str:
        """Say the condition as the end of "it needs …"."""
        return f"the traits that `{self.parameter}` names"


Condition = Has | AnyOf | AllOf | NamedTraits


@dataclass(frozen=True, slots=True)
class Rule:
    """What one source says a destination needs: all of these conditions."""

    needs: tuple[Condition, ...]

    def schema(self) -> dict[str, Any]:
        """Compile to a JSON Schema of the identify message, one member of ``allOf`` per need."""
        return {
            "$schema": DRAFT,
            "type": "object",
            "allOf": [need.schema() for need in self.needs],
        }

    def leaves(self) -> Iterator[Has]:
        """Walk the facts a verdict depends on."""
        return AllOf(self.needs).leaves()

    def words(self) -> str:
        """Say the rule as the end of "it needs …"."""
        return AllOf(self.needs).words()

    def bound(self, named: Mapping[str, Sequence[str]], filled: Mapping[Path, str]) -> Rule:
        """Put the user's parameters into the rule.

        :param named: parameter → the traits that must be there.
        :param filled: path → the trait whose value is going to be sent there.
        """
        return Rule(tuple(_bound(need, named, filled) for need in self.needs))

    def fill(self, message: dict[str, Any]) -> None:
        """Add what the rule needs to an example, taking the first way where there are several."""
        for need in self.needs:
            _fill(need, message)


class Check:
    """A rule, compiled once and asked many times."""

    def __init__(self, rule: Rule) -> None:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - half a second at import

        self._needs = rule.needs
        self._validator = Draft202012Validator(rule.schema())

    def failing(self, message: Message) -> list[Condition]:
        """Return the needs that the message does not meet, in the order of the rule."""
        places = {error.absolute_schema_path[1] for error in self._validator.iter_errors(message)}
        return [need for place, need in enumerate(self._needs) if place in places]


def parse(rule: Sequence[Any]) -> Rule:
    """Read a rule as the catalogue writes it.

    :param rule: conditions that must all hold, each a path (``"userId"``, ``"traits.email"``,
        ``"context.groupId"``, ``"integrations.Woopra.cookie"``) or an object with ``any_of``,
        ``all_of``, ``traits_named_by``, or ``path`` beside ``min_length`` or ``like``.
    :raises PermanentError: when a condition has none of these forms.

    >>> parse(["userId", {"any_of": ["traits.name", "traits.title"]}]).words()
    '`userId` and a trait `name` (or `title`)'
    """
    return Rule(tuple(_condition(entry) for entry in rule))


def _condition(entry: Any) -> Condition:
    match entry:
        case str():
            return Has(path_of(entry))
        case {"any_of": [_, *_] as ways}:
            return AnyOf(tuple(_condition(way) for way in ways))
        case {"all_of": [_, *_] as parts}:
            return AllOf(tuple(_condition(part) for part in parts))
        case {"traits_named_by": str() as parameter}:
            return NamedTraits(parameter)
        case {"path": str() as path, "min_length": int() as min_length}:
            return Has(path_of(path), min_length=min_length)
        case {"path": str() as path, "like": "email"}:
            return Has(path_of(path), like_email=True)
    raise PermanentError(
        "A rule of the destination catalogue",
        should="be made of the forms in destinations.schema.json",
        but="one of its conditions is none of them",
        do="Check the catalogue against its schema.",
    )


def path_of(text: str) -> Path:
    """Split a path; names of traits and of destinations may hold dots themselves.

    >>> path_of("traits.users.email"), path_of("integrations.Customer.io.id")
    (('traits', 'users.email'), ('integrations', 'Customer.io', 'id'))
    """
    head, _, rest = text.partition(".")
    if head == "integrations":
        destination, _, option = rest.rpartition(".")
        return (head, destination, option)
    return (head, rest) if rest else (head,)


def _bound(
    condition: Condition, named: Mapping[str, Sequence[str]], filled: Mapping[Path, str]
) -> Condition:
    match condition:
        case NamedTraits(parameter):
            names = named.get(parameter, ())
            return AllOf(tuple(Has(("traits", name)) for name in names)) if names else condition
        case Has(path) if path in filled:
            return AnyOf((condition, Has(("traits", filled[path]))))
        case AnyOf(conditions):
            return AnyOf(tuple(_bound(way, named, filled) for way in conditions))
        case AllOf(conditions):
            return AllOf(tuple(_bound(part, named, filled) for part in conditions))
    return condition


def _fill(condition: Condition, message: dict[str, Any]) -> None:
    match condition:
        case AnyOf(conditions):
            _fill(conditions[0], message)
        case AllOf(conditions):
            for part in conditions:
                _fill(part, message)
        case Has(path, min_length, like_email) if not condition.holds(message):
            holder = message
            for key in path[:-1]:
                holder = holder.setdefault(key, {})
            is_email = like_email or path[-1] == "email"
            value = "ada@example.com" if is_email else f"example {path[-1]}"
            holder[path[-1]] = value.ljust(min_length, "0")


def signature(leaves: Iterable[Has]) -> Signature:
    """Build the function that says which facts hold for a message.

    It is asked once per message, so it looks each value up once and compiles nothing.
    """
    by_holder: dict[Path, dict[str, list[tuple[int, Has]]]] = {}
    for place, leaf in enumerate(dict.fromkeys(leaves)):
        keys = by_holder.setdefault(leaf.path[:-1], {})
        keys.setdefault(leaf.path[-1], []).append((1 << place, leaf))
    holders = tuple(
        (path, tuple((key, *_tests(found)) for key, found in keys.items()))
        for path, keys in by_holder.items()
    )

    return partial(_facts, holders)


_Tests = tuple[tuple[int, Callable[[Any], bool]], ...]
_Keys = tuple[tuple[str, int, _Tests, _Tests], ...]


def _facts(holders: tuple[tuple[Path, _Keys], ...], message: Message) -> int:
    found = 0
    for path, keys in holders:
        holder = _holder(message, path) if path else message
        for key, text_bits, text_tests, tests in keys:
            if key not in holder:
                continue
            value = holder[key]
            if type(value) is str and value and not value.isspace():
                found |= text_bits
                tests = text_tests  # noqa: PLW2901 - the others would find the same
            for bit, test in tests:
                if test(value):
                    found |= bit
    return found


def _holder(message: Message, path: Path) -> Mapping[str, Any]:
    for key in path:
        inner = message.get(key)
        if not isinstance(inner, dict):
            return _NOTHING
        message = inner
    return message


def _tests(leaves: Sequence[tuple[int, Has]]) -> tuple[int, _Tests, _Tests]:
    """Divide the leaves of one value, each beside its bit.

    :return: the bits of those that take any text that is not blank, how the others test such
        text, and how all of them test any value.
    """
    text_bits = sum(bit for bit, leaf in leaves if not leaf.is_demanding)
    text_tests = tuple((bit, leaf.test_of_text()) for bit, leaf in leaves if leaf.is_demanding)
    return text_bits, text_tests, tuple((bit, leaf.test()) for bit, leaf in leaves)


_shaped_like_email = re.compile(EMAIL_LIKE).search


def _is_email_like(text: str) -> bool:
    # Most identifiers have no such sign, and looking for one is faster than the pattern.
    return "@" in text and bool(_shaped_like_email(text))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_scalar(value: Any) -> bool:
    return value.strip() != "" if isinstance(value, str) else isinstance(value, (int, float))

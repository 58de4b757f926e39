"""Whether the chosen destinations can take a message, and how to keep it from those that cannot.

An identify message enters, verdicts and an ``integrations`` object leave.
A message is never changed, and a reason names a path, never a value.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Literal, Self, Unpack, get_args

from airflow_provider_looker_segment.core.catalogue import (
    Catalogue,
    Destination,
    bound_rules,
    load_catalogue,
    traits_of,
)
from airflow_provider_looker_segment.core.preflight import (
    ANYTHING,
    Possibilities,
    best_message,
    listed,
    misspelt,
)
from airflow_provider_looker_segment.core.rules import (
    AllOf,
    Check,
    Condition,
    Has,
    Message,
    path_of,
    signature,
)
from airflow_provider_looker_segment.core.traits import RESERVED_TYPES
from airflow_provider_looker_segment.exceptions import PermanentError

Unmet = Literal["mute", "reject", "warn"]
"""What happens to a message that a chosen destination cannot take."""

Rules = Literal["both", "table", "current"]
"""Which source decides: both, Segment's table alone, the destinations' own pages alone."""


class Verdict(StrEnum):
    """Whether a destination can take a message."""

    MET = "met"
    DOUBTFUL = "doubtful"
    """One of the two rules accepts the message, the other refuses it."""
    UNMET = "unmet"


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict about one destination.

    :param destination: its slug, or its name where it was asked for within double quotes.
    :param reasons: what is missing, as codes: ``needs_email``, ``needs_user_id``; empty if met.
    :param missing: the paths that are not there: ``traits.email``, ``userId``; empty if met.
    """

    destination: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdicts about one message, and what follows from them.

    :param findings: one per destination, in the order they were asked for.
    :param accepted: false where the message must not be sent at all.
    :param switches: the ``integrations`` object: whether a key is on. Messages share it.
    :param unmutable: slugs that cannot take the message but have no key to mute them by.
    """

    findings: tuple[Finding, ...]
    accepted: bool
    switches: dict[str, Any]
    unmutable: tuple[str, ...]

    def slugs(self, verdict: Verdict) -> tuple[str, ...]:
        """List the destinations with this verdict."""
        return tuple(one.destination for one in self.findings if one.verdict is verdict)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A destination with its rules compiled."""

    destination: Destination
    checks: tuple[Check, ...]

    def refusals(self, message: Message) -> list[list[Condition]]:
        """Return what fails, one list for each rule that refuses the message."""
        return [failing for check in self.checks if (failing := check.failing(message))]

    def refuses(self, refusals: list[list[Condition]]) -> bool:
        """Tell whether no rule is left that accepts the message."""
        return bool(refusals) and len(refusals) == len(self.checks)

    def finding(self, message: Message) -> Finding:
        """Judge one message."""
        refusals = self.refusals(message)
        slug = self.destination.slug
        if not refusals:
            return Finding(slug, Verdict.MET)
        needs = _easiest(refusals)
        missing: dict[str, str] = {}
        for leaf in AllOf(tuple(needs)).leaves():
            if not leaf.holds(message):
                missing.setdefault(leaf.code(), ".".join(leaf.path))
        return Finding(
            slug,
            Verdict.UNMET if self.refuses(refusals) else Verdict.DOUBTFUL,
            tuple(f"needs_{need.code()}" for need in needs),
            tuple(missing.values()),
        )


class Requirements:
    """What the chosen destinations require of every message of a run.

    :param destinations: names as :meth:`~.catalogue.Catalogue.find` takes them.
    :param unmet: ``"mute"`` keeps a message from the destinations that cannot take it and sends
        it to all others, ``"reject"`` does not send it, ``"warn"`` sends it as it is.
    :param only: whether nobody but the chosen destinations gets the messages.
    :param rules: ``"both"`` finds a message unmet only where both rules refuse it.
    :param parameters: what the rules of some destinations ask of the user: parameter → the name
        of a trait, or several; see ``parameters`` of each :class:`~.catalogue.Destination`.
    :param catalogue: where the rules come from; the package's own by default.
    :ivar fills_options: whether parameters fill options of ``integrations`` from traits.
    :raises PermanentError: when a destination, an option or a parameter is unknown,
        or ``only`` asks for a destination that no message can be switched on for.
    """

    def __init__(
        self,
        destinations: Iterable[str],
        *,
        unmet: Unmet = "mute",
        only: bool = False,
        rules: Rules = "both",
        parameters: Mapping[str, str | Sequence[str]] | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        _check_choice("unmet", unmet, get_args(Unmet))
        _check_choice("destination_rules", rules, get_args(Rules))
        catalogue = catalogue or load_catalogue()
        parameters = parameters or {}
        _check_parameters(parameters, catalogue)
        found = (catalogue.find(name) for name in destinations)
        chosen = {destination.slug: destination for destination in found}
        self.destinations: tuple[Destination, ...] = tuple(chosen.values())
        if only:
            _check_reachable(self.destinations)
        self._unmet = unmet
        self._only = only
        self._asked: list[_Asked] = []
        self._fills: list[tuple[tuple[str, ...], str]] = []
        self._leaves: list[Has] = []
        for destination in self.destinations:
            bound = bound_rules(destination, parameters)
            if rules == "table" or (rules == "current" and "current" in bound):
                bound = {which: rule for which, rule in bound.items() if which == rules}
            checks = tuple(Check(rule) for rule in bound.values())
            self._asked.append(_Asked(destination, checks))
            self._leaves += [leaf for rule in bound.values() for leaf in rule.leaves()]
            self._fills += [
                (path_of(parameter.fills), trait)
                for parameter in destination.parameters
                if parameter.fills
                for trait in traits_of(parameters, parameter.name)
            ]
        self.fills_options = bool(self._fills)
        self.signature = signature(self._leaves)
        self._outcomes: dict[int, Outcome] = {}

    def narrowed(self, traits: Collection[str]) -> Self:
        """Return the same requirements for messages that have no other traits than these.

        Facts about other traits never hold, so that no message need be asked about them.
        """
        narrowed = copy.copy(self)
        narrowed.signature = signature(
            leaf for leaf in self._leaves if leaf.path[0] != "traits" or leaf.path[1] in traits
        )
        narrowed._outcomes = {}  # noqa: SLF001 - a copy of this one
        return narrowed

    def check(self, message: Message) -> Outcome:
        """Return the verdicts about a message; equal signatures share one :class:`Outcome`.

        A million rows cost as many validations as there are kinds of rows.
        """
        facts = self.signature(message)
        outcome = self._outcomes.get(facts)
        if outcome is None:
            outcome = self._outcomes[facts] = self.judge(message)
        return outcome

    def judge(self, message: Message) -> Outcome:
        """Return the same as :meth:`check`, from the JSON Schemas and without any memory."""
        findings = tuple(asked.finding(message) for asked in self._asked)
        unmet = [finding.verdict is Verdict.UNMET for finding in findings]
        switches: dict[str, bool] = {"All": False} if self._only else {}
        unmutable: list[str] = []
        for destination, fails in zip(self.destinations, unmet, strict=True):
            keys = destination.all_keys
            if fails and self._unmet == "mute":
                switches |= dict.fromkeys(keys, False)
                unmutable += [] if keys else [destination.slug]
            elif self._only:
                switches |= dict.fromkeys(keys, True)
            elif destination.off_by_default:
                switches |= dict.fromkeys(destination.keys, True)
        return Outcome(
            findings,
            accepted=not (self._unmet == "reject" and any(unmet)),
            switches=switches,
            unmutable=tuple(unmutable),
        )

    def integrations(
        self, outcome: Outcome, message: Message | None = None
    ) -> dict[str, Any] | None:
        """Return the ``integrations`` object of a message, ``None`` for none; others share it.

        :param outcome: what :meth:`check` returned for the message.
        :param message: adds the options that the message has already, and those that
            parameters fill from its traits; a destination that is muted keeps none.
        Source: https://segment.com/docs/connections/spec/common/#integrations
        """
        switches = outcome.switches
        if message is None or not (self._fills or "integrations" in message):
            return switches or None
        result = switches.copy()
        for key, options in (message.get("integrations") or {}).items():
            if result.get(key, not self._only) is not False:
                result[key] = options
        for (_, key, option), trait in self._fills:
            value = message["traits"].get(trait)
            if value in (None, "") or result.get(key) is False:
                continue
            options = result.get(key)
            result[key] = {option: str(value), **(options if isinstance(options, dict) else {})}
        return result or None

    def outlook(self, **possible: Unpack[Possibilities]) -> Outcome:
        """Return the verdicts about the best message that a Look can lead to."""
        return self.judge(best_message(**possible))

    def preflight(self, **possible: Unpack[Possibilities]) -> list[str]:
        """Name the destinations that no row of the Look can ever reach.

        :return: one sentence for each such destination, in the order they were asked for.
        """
        traits = possible["traits"]
        best = best_message(**possible)
        sentences = []
        for asked in self._asked:
            refusals = asked.refusals(best)
            if asked.refuses(refusals):
                needs = AllOf(tuple(_easiest(refusals)))
                names = misspelt(needs, traits)
                renamed = dict.fromkeys(names.values(), ANYTHING)
                renamed = {**best, "traits": best["traits"] | renamed}
                hints = [f"`{old}` to `{new}`" for old, new in names.items()]
                helps = hints and not asked.refuses(asked.refusals(renamed))
                sentences.append(
                    f"Look {possible['look']} can never reach {asked.destination.name}: "
                    f"it needs {needs.words()}; the Look shows {listed(possible['columns'])}."
                    + (f" Rename {' and '.join(hints)} in the mapping." if helps else "")
                )
        return sentences

    def warnings(self, traits: Collection[str]) -> list[str]:
        """Say what no rule can check about the chosen destinations.

        :param traits: names of the traits that messages can have.
        :return: one sentence, or a few, for each point; none of them stops a run.
        """
        custom = sorted(set(traits) - RESERVED_TYPES.keys())
        sentences = []
        for destination in self.destinations:
            name = destination.name
            if destination.retired:
                newer = destination.successor
                instead = f" Its successor is {newer.name}." if newer else ""
                sentences.append(f"{name} is retired. {destination.retired}{instead}")
            if not destination.server_identify:
                sentences.append(f"{name} is not listed as taking identify calls from servers.")
            if not destination.all_keys:
                sentences.append(
                    f"{name} cannot be muted: its name in `integrations` is not known. "
                    "Name it within double quotes as it stands in Segment."
                )
            if destination.custom_traits and custom:
                sentences.append(f"{name} gets {listed(custom)}. {destination.custom_traits}")
        return sentences


def _easiest(refusals: list[list[Condition]]) -> list[Condition]:
    """Choose the rule that lacks least; of two alike the destination's own, newer one."""
    return min(reversed(refusals), key=len)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise PermanentError(
            option,
            should=f"be one of {', '.join(map(repr, choices))}",
            but=f"it is {value!r}",
            do="Choose one of them.",
        )


def _check_parameters(parameters: Mapping[str, Any], catalogue: Catalogue) -> None:
    known = {one.name for entry in catalogue.destinations for one in entry.parameters}
    for name in parameters:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1, cutoff=0.01)
            raise PermanentError(
                f"The parameter {name!r}",
                should="be one that a destination declares",
                but="none does",
                do=f"The nearest name is `{near[0]}`." if near else "Leave it out.",
            )


def _check_reachable(destinations: Collection[Destination]) -> None:
    if not destinations:
        raise PermanentError(
            "`only`",
            should="come with destinations",
            but="none is named, so nobody would get anything",
            do="Name them, or leave `only` out.",
        )
    for destination in destinations:
        if not destination.all_keys:
            raise PermanentError(
                f"The destination `{destination.slug}`",
                should="have a name in `integrations`, for `only` switches all others off",
                but="the catalogue knows none",
                do="Name it within double quotes, exactly as it stands in Segment.",
            )

"""Which columns identify a user, which become traits, and under which names.

A Look and the user's choices enter, a :class:`Plan` leaves, before any query runs.
What is ambiguous fails here and names both candidates; nothing is guessed from rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

from airflow_provider_looker_segment.core.configuration import check
from airflow_provider_looker_segment.core.limits import MAX_TRAITS
from airflow_provider_looker_segment.core.look import Column, Look
from airflow_provider_looker_segment.core.traits import (
    ENVELOPE_NAMES,
    POISONOUS_NAMES,
    UNSENDABLE,
    Arrays,
    Nulls,
)
from airflow_provider_looker_segment.core.validation import compiled
from airflow_provider_looker_segment.exceptions import PermanentError

Role = Literal["user_id", "email", "anonymous_id", "group_id"]

ROLE_TAGS: dict[Role, str] = {
    "user_id": "user_id",
    "email": "email",
    "anonymous_id": "segment_anonymous_id",
    "group_id": "segment_group_id",
}
"""LookML tags by role, the same as Looker's own Segment action reads.

Source: https://github.com/looker-open-source/actions/tree/master/src/actions/segment
"""

CONVENTIONAL_NAMES: dict[Role, frozenset[str]] = {
    "user_id": frozenset({"userid"}),
    "email": frozenset({"email", "emailaddress"}),
    "anonymous_id": frozenset({"anonymousid"}),
    "group_id": frozenset({"groupid"}),
}
"""Short column names by role, without case and punctuation."""

EMAIL_TRAIT = "email"

PROTECTED_NAMES = ENVELOPE_NAMES | POISONOUS_NAMES
"""Names that no trait may have."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """What a user may say about identifiers and traits; every default is a law of the docs.

    :param user_id: name of the column with the user's id.
    :param email: name of the column with the e-mail address; its trait is always ``email``.
    :param anonymous_id: name of the column with an anonymous id.
    :param group_id: name of the column that becomes ``context.groupId``.
    :param rename: trait names by column name; they win over every other naming.
    :param exclude: names of columns that are not sent.
    :param trait_names: ``"displayed"`` names traits as the Look shows them, ``"name"`` as LookML.
    :param prefix: put before every trait name that is neither ``email`` nor renamed.
    :param nulls: ``"omit"`` leaves null traits out, ``"send"`` clears them, ``"reject"`` refuses.
    :param arrays: ``"reject"`` refuses list values, ``"join"`` sends them as text.
    :param pivots: ``"flatten"`` makes one trait of each pivoted value, ``"reject"`` refuses.
    :param email_only: rows with an e-mail and no id: ``"anonymous_id"`` derives a stable
        ``anonymousId`` from it, ``"reject"`` refuses them.
    :param parameters: what some destinations' rules ask for, such as
        ``{"pardot_lookup_field": "crm_id"}``; ``docs/destinations.md`` lists them.
    :param forbid_traits: trait names that exist in the team's tools and must not be overwritten.
    :param traits_schema: a JSON Schema that the traits of every message must meet, an export of
        a Segment tracking plan, or the path of a JSON or YAML file with either.
    """

    user_id: str | None = None
    email: str | None = None
    anonymous_id: str | None = None
    group_id: str | None = None
    rename: AbstractMapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    trait_names: Literal["displayed", "name"] = "displayed"
    prefix: str = ""
    nulls: Nulls = "omit"
    arrays: Arrays = "reject"
    pivots: Literal["flatten", "reject"] = "flatten"
    email_only: Literal["anonymous_id", "reject"] = "anonymous_id"
    parameters: AbstractMapping[str, Any] = field(default_factory=dict)
    forbid_traits: tuple[str, ...] = ()
    traits_schema: AbstractMapping[str, Any] | str | None = None

    @classmethod
    def of(cls, said: Mapping | AbstractMapping[str, Any] | None) -> Mapping:
        """Read a mapping from what a user wrote.

        :raises PermanentError: when a key is unknown, a value has the wrong type, or
            ``traits_schema`` is no schema. A path in it is kept, for core reads no files.
        """
        if said is None:
            return cls()
        if isinstance(said, cls):
            given: AbstractMapping[str, Any] = {
                item.name: getattr(said, item.name) for item in fields(said)
            }
        else:
            given = cast("AbstractMapping[str, Any]", said)
        settings = {key: value for key, value in given.items() if value is not None}
        listed = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in settings.items()
        }
        check(listed, schema="mapping", where="mapping")
        for key in ("exclude", "forbid_traits"):
            if key in settings:
                settings[key] = tuple(settings[key])
        if isinstance(settings.get("traits_schema"), AbstractMapping):
            compiled(settings["traits_schema"])
        return cls(**settings)


@dataclass(frozen=True, slots=True)
class Plan:
    """How each row of a Look becomes a message.

    :param traits: trait name and column, in the order in which the Look shows them.
    :param pivoted: the columns whose cells hold one value for each pivot.
    :param warnings: sentences for the report.
    """

    look: Look
    mapping: Mapping
    user_id: Column | None
    email: Column | None
    anonymous_id: Column | None
    group_id: Column | None
    traits: tuple[tuple[str, Column], ...]
    pivoted: bool
    warnings: tuple[str, ...]

    @property
    def derives_anonymous_ids(self) -> bool:
        """Whether rows with an e-mail address and no id get an ``anonymousId`` from it."""
        return self.email is not None and self.mapping.email_only != "reject"

    @property
    def identifiers(self) -> tuple[Column, ...]:
        """The columns that say who a row is about."""
        found = (self.user_id, self.email, self.anonymous_id)
        return tuple(column for column in found if column is not None)


def plan(look: Look, mapping: Mapping) -> Plan:
    """Decide about every column of a Look.

    :raises PermanentError: when no column identifies anybody, two do alike, a column that the
        mapping names is missing, two traits would have one name, or a name is protected.
    """
    _check_names(look, [*mapping.rename, *mapping.exclude])
    user_id = _identifier(look, mapping, "user_id")
    anonymous_id = _identifier(look, mapping, "anonymous_id")
    group_id = _identifier(look, mapping, "group_id")
    email = _identifier(look, mapping, "email")
    if user_id is None and anonymous_id is None and email is None:
        raise PermanentError(
            f"{look.where}: its columns",
            should="hold a userId or an email",
            but=f"they are {_listed(look.columns)}",
            do="Add such a column to the Look, tag it `user_id` or `email` in LookML, "
            "or name it with mapping.user_id or mapping.email.",
        )
    ids = [column.name for column in (user_id, anonymous_id, group_id) if column is not None]
    pivoted = bool(look.query.get("pivots"))
    if pivoted and mapping.pivots == "reject":
        raise PermanentError(
            f"{look.where}: its query",
            should="have no pivots",
            but=f"it pivots {', '.join(map(str, look.query['pivots']))}",
            do='Remove the pivots, or say pivots="flatten" to get one trait for each value.',
        )
    traits = tuple(
        (_trait_name(column, email, mapping), column)
        for column in look.columns
        if not column.pivoted
        and not (column.hidden and column is not email)
        and column.name not in mapping.exclude
        and (column is email or column.name not in ids)
    )
    _check_traits(look, traits, mapping)
    return Plan(
        look=look,
        mapping=mapping,
        user_id=user_id,
        email=email,
        anonymous_id=anonymous_id,
        group_id=group_id,
        traits=traits,
        pivoted=pivoted,
        warnings=_advice(look, user_id, email),
    )


def normal(name: str) -> str:
    """Reduce a name to its letters and digits.

    >>> normal("User ID"), normal("users.e-mail")
    ('userid', 'usersemail')
    """
    return re.sub(r"[\W_]+", "", name).casefold()


def _identifier(look: Look, mapping: Mapping, role: Role) -> Column | None:
    named = getattr(mapping, role)
    if named is not None:
        _check_names(look, [named])
        column = next(column for column in look.columns if column.name == named)
        if column.pivoted:
            raise PermanentError(
                f"{look.where}: its {role.replace('_', ' ')}",
                should="be a column of its own",
                but=f"{column.shown} is pivoted, so its values are the names of other columns",
                do="Remove the pivot from the Look, or name another column.",
            )
        return column
    tag = ROLE_TAGS[role]
    tagged = [column for column in look.columns if tag in column.tags]
    conventional = [column for column in look.columns if _is_conventional(column, role)]
    for candidates in (tagged, conventional):
        # A hidden e-mail column is not sent, so it cannot be the one.
        usable = [
            column
            for column in candidates
            if not column.pivoted and not (column.hidden and role == "email")
        ]
        if len(usable) > 1:
            raise PermanentError(
                f"{look.where}: its {role.replace('_', ' ')}",
                should="be one column",
                but=f"{_listed(usable)} could each be it",
                do=f"Name the right one with mapping.{role}, or remove the other.",
            )
        if usable:
            return usable[0]
    return None


def _is_conventional(column: Column, role: Role) -> bool:
    if column.renamed:
        return False
    names = {column.name.rpartition(".")[2], column.label_short, column.displayed}
    if column.renames:
        names.add(column.renames.rpartition(".")[2])
    return any(normal(name) in CONVENTIONAL_NAMES[role] for name in names)


def _trait_name(column: Column, email: Column | None, mapping: Mapping) -> str:
    if column is email:
        return EMAIL_TRAIT
    if column.name in mapping.rename:
        return mapping.rename[column.name]
    return mapping.prefix + (
        column.displayed if mapping.trait_names == "displayed" else column.name
    )


def _check_names(look: Look, names: Iterable[str]) -> None:
    known = {column.name for column in look.columns}
    for name in names:
        if name not in known:
            raise PermanentError(
                f"{look.where}, column `{name}`:",
                should="exist, because the mapping names it",
                but=f"the Look's columns are {_listed(look.columns)}",
                do="Mend the mapping, or add the column to the Look.",
            )


def _check_traits(look: Look, traits: tuple[tuple[str, Column], ...], mapping: Mapping) -> None:
    counts = Counter(name for name, _ in traits)
    for name, count in counts.items():
        columns = [column for trait, column in traits if trait == name]
        if count > 1:
            raise PermanentError(
                f"{look.where}: its trait `{name}`",
                should="come from one column",
                but=f"{_listed(columns)} would each be it",
                do="Rename one with mapping.rename, exclude one, or relabel it in the Look.",
            )
        check_trait_name(look.where, name, mapping, column=columns[0].shown)
    if len(traits) > MAX_TRAITS:
        raise PermanentError(
            f"{look.where}: its traits",
            should=f"be at most {MAX_TRAITS}",
            but=f"they are {len(traits)}, and Segment drops such messages without a word",
            do="Remove columns, or leave some out with mapping.exclude.",
        )


def check_trait_name(
    where: str, name: str, mapping: Mapping, *, column: str, shown: str = ""
) -> None:
    """Refuse a trait name that would overwrite something else.

    :param shown: how messages write the name, where that is not the name itself.
    :raises PermanentError: when the name is empty, protected, or forbidden by the mapping.
    """
    but = _wrong_with(name)
    if but:
        raise PermanentError(
            f"{where}, column {column}: its trait `{shown or name}`",
            should="have a name of its own",
            but=but,
            do="Rename it with mapping.rename, or leave it out with mapping.exclude.",
        )
    if name in mapping.forbid_traits:
        raise PermanentError(
            f"{where}, column {column}: its trait `{shown or name}`",
            should="not overwrite a trait of the team's tools",
            but="mapping.forbid_traits lists it",
            do="Rename it with mapping.rename, or leave it out with mapping.exclude.",
        )


def _wrong_with(name: str) -> str:
    if not name.strip():
        return "it has no name"
    if name in PROTECTED_NAMES:
        return "that name means something else in Segment"
    return "its name holds NUL or half a character" if UNSENDABLE.search(name) else ""


def _advice(look: Look, user_id: Column | None, email: Column | None) -> tuple[str, ...]:
    lacking = [name for name, column in (("userId", user_id), ("email", email)) if column is None]
    return tuple(
        f"{look.where} has no {name} column; Segment recommends to include both userId and email, "
        "because most destinations need one or the other."
        for name in lacking
    )


def _listed(columns: Iterable[Column]) -> str:
    return ", ".join(column.shown for column in columns) or "none"

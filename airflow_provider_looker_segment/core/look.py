"""A Look as its metadata describes it, before any query runs.

Looker's JSON about a Look and its explore enters, a :class:`Look` with its columns leaves.
Nothing here depends on the rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from airflow_provider_looker_segment.exceptions import PermanentError

Kept = TypeVar("Kept", dict[str, Any], list[Any])
Kind = Literal["dimension", "measure", "table_calculation"]

_PLAIN_REFERENCE = re.compile(r"\s*\$\{\s*([\w.]+)\s*\}\s*")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Look.

    :param name: the field's full name (``users.email``), or a table calculation's.
    :param label: its label with the view's (``Users Email``).
    :param label_short: its label alone (``Email``).
    :param displayed: what the Look shows above the column.
    :param tags: its LookML tags, which may say what it identifies.
    :param renames: the column that it only repeats, where it is a calculation made for renaming.
    :param renamed: whether such a calculation speaks for this column.
    """

    name: str
    label: str
    label_short: str
    displayed: str
    kind: Kind = "dimension"
    type: str = "string"
    tags: tuple[str, ...] = ()
    hidden: bool = False
    pivoted: bool = False
    renames: str = ""
    renamed: bool = False

    @property
    def shown(self) -> str:
        """How messages name the column."""
        return f"`{self.name}`"


@dataclass(frozen=True, slots=True)
class Look:
    """A saved Look: its query, its columns, and the fields its filters may name.

    :param query: the Look's own query, as Looker's API describes it.
    :param fields: every field of the explore, by name, as Looker's API describes it.
    :param always_filter: filters that the explore adds where the query has none.
    """

    id: str
    title: str
    query: Mapping[str, Any]
    columns: tuple[Column, ...]
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    always_filter: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """How messages name the Look."""
        return f"Look {self.id}"

    @property
    def names(self) -> frozenset[str]:
        """The names of its fields, whole and in parts, in small letters; none is a value."""
        names = [*(column.name for column in self.columns), *(self.query.get("filters") or {})]
        parts = [part for name in names for part in str(name).split(".")]
        return frozenset(name.casefold() for name in (*map(str, names), *parts))

    @property
    def has_table_calculations(self) -> bool:
        """Whether the result holds columns that Looker computes after the query."""
        return any(column.kind == "table_calculation" for column in self.columns)


def read_look(look: Mapping[str, Any], explore: Mapping[str, Any]) -> Look:
    """Understand a Look from what Looker says about it and about its explore.

    :param look: keys ``id``, ``title`` and ``query``; the query's keys as in ``WriteQuery``.
    :param explore: key ``fields`` with lists of fields by category; ``always_filter``.
    :raises PermanentError: when the Look names a field that its explore no longer has.
    """
    query = look["query"]
    fields = {
        str(entry["name"]): {**entry, "category": category}
        for category, entries in (explore.get("fields") or {}).items()
        for entry in entries or ()
    }
    dynamic = dynamic_fields(query)
    where = f"Look {look['id']}"
    vis_config = _part(query, "vis_config", dict, where)
    hidden = _part(vis_config, "hidden_fields", list, where)
    series_labels = _labels(_part(vis_config, "series_labels", dict, where), where)
    vis_config = {**vis_config, "hidden_fields": hidden, "series_labels": series_labels}
    names = _part(query, "fields", list, where)
    _part(query, "filters", dict, where)
    calculations = [
        entry["table_calculation"]
        for entry in dynamic
        if entry.get("table_calculation") and not entry.get("is_disabled")
    ]
    columns = [
        _column(name, fields, dynamic, vis_config, look_id=str(look["id"]))
        for name in [*names, *calculations]
    ]
    pivots = set(map(str, _part(query, "pivots", list, where)))
    columns = [replace(column, pivoted=column.name in pivots) for column in columns]
    always = explore.get("always_filter") or ()
    return Look(
        id=str(look["id"]),
        title=str(look.get("title") or ""),
        query=query,
        columns=tuple(_renamed(columns, dynamic)),
        fields=fields,
        always_filter={
            entry["name"]: str(entry["value"]) for entry in always if entry["value"] is not None
        },
    )


def _part(whole: Mapping[str, Any], key: str, kind: type[Kept], where: str) -> Kept:
    """Return a part of what Looker says of a Look; an empty one where it says nothing.

    :raises PermanentError: when it is of another kind, for then nobody knows what is meant.
    """
    part = whole.get(key)
    if part is None:
        return kind()
    if isinstance(part, kind):
        return part
    raise PermanentError(
        f"{where}: its `{key}`",
        should=f"be {'an object' if kind is dict else 'a list'}",
        but="it is something else",
        do="Open the Look in Looker and save it again.",
    )


def _labels(series_labels: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the labels that a Look gives to columns; a number is one, as a year in LookML is.

    :raises PermanentError: when one is something else than text or a number.
    """
    labels = {name: label for name, label in series_labels.items() if label is not None}
    for name, label in labels.items():
        if isinstance(label, bool) or not isinstance(label, str | int | float):
            raise PermanentError(
                f"{where}, column `{name}`: its label in `series_labels`",
                should="be text",
                but="it is something else",
                do="Open the Look in Looker, name the column and save it again.",
            )
    return {name: str(label) for name, label in labels.items()}


def dynamic_fields(query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the table calculations and custom fields of a query; Looker keeps them as text."""
    entries = query.get("dynamic_fields")
    try:
        if isinstance(entries, str):
            entries = json.loads(entries) if entries.strip() else ()
    except (ValueError, RecursionError):
        entries = "no JSON"
    if entries and not (
        isinstance(entries, list) and all(isinstance(one, dict) for one in entries)
    ):
        raise PermanentError(
            "The Look: its `dynamic_fields`",
            should="be a list of objects, as JSON",
            but="they are not",
            do="Open the Look in Looker, mend its calculations and custom fields, and save it.",
        )
    return list(entries or ())


def _column(
    name: str,
    fields: Mapping[str, Mapping[str, Any]],
    dynamic: Iterable[Mapping[str, Any]],
    vis_config: Mapping[str, Any],
    *,
    look_id: str,
) -> Column:
    hidden = name in (vis_config.get("hidden_fields") or ())
    relabelled = (vis_config.get("series_labels") or {}).get(name)
    for entry in dynamic:
        for kind in ("table_calculation", "measure", "dimension"):
            if entry.get(kind) == name:
                label = str(entry.get("label") or name)
                return Column(
                    name=name,
                    label=label,
                    label_short=label,
                    displayed=relabelled or label,
                    kind=kind,
                    type=str(entry.get("_type_hint") or entry.get("type") or "string"),
                    hidden=hidden,
                )
    if name not in fields:
        raise PermanentError(
            f"Look {look_id}, column `{name}`:",
            should="exist in the Look's explore",
            but="it does not; it was renamed or removed in LookML, or the API user may not see it",
            do="Open the Look in Looker, mend its fields and save it.",
        )
    entry = fields[name]
    label = str(entry.get("label") or name)
    label_short = str(entry.get("label_short") or label)
    views_named = vis_config.get("show_view_names", True) is not False
    return Column(
        name=name,
        label=label,
        label_short=label_short,
        displayed=relabelled or (label if views_named else label_short),
        kind="measure" if entry["category"] == "measures" else "dimension",
        type=str(entry.get("type") or "string"),
        tags=tuple(entry.get("tags") or ()),
        hidden=hidden,
    )


def _renamed(columns: list[Column], dynamic: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Let a calculation that only repeats a column take over what that column identifies.

    Table calculations are how Looker users rename columns, and they cannot carry tags.
    """
    by_name = {column.name: column for column in columns}
    repeats = {
        str(entry["table_calculation"]): reference.group(1)
        for entry in dynamic
        if entry.get("table_calculation")
        and (reference := _PLAIN_REFERENCE.fullmatch(str(entry.get("expression") or "")))
    }
    for name, repeated in repeats.items():
        root = repeated
        # A calculation may repeat one that itself only repeats.
        for _ in repeats:
            root = repeats.get(root, root)
        calculation, original = by_name.get(name), by_name.get(root)
        if calculation is None or original is None or calculation.hidden or original.renamed:
            continue
        by_name[calculation.name] = replace(
            calculation, tags=original.tags, type=original.type, renames=original.name
        )
        by_name[original.name] = replace(original, tags=(), renamed=True)
    return list(by_name.values())

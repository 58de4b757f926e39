"""The contract of a sync: what its Look was when it was pinned, and whether it still is.

A plan enters, a contract of plain JSON leaves; two contracts enter, and what differs leaves in
words. A new trait is a warning, and anything else stops the run before its query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_looker_segment.core.limits import UNCHOSEN_ROW_LIMITS
from airflow_provider_looker_segment.core.mapping import Plan
from airflow_provider_looker_segment.core.query import RowLimit
from airflow_provider_looker_segment.exceptions import PermanentError

_ROLES = ("user_id", "email", "anonymous_id", "group_id")


def contract(plan: Plan, *, row_limit: RowLimit) -> dict[str, Any]:
    """Return what a sync relies on.

    :param row_limit: what a run says about the Look's limit; ``None`` where it says nothing.
    :return: ``ids`` (column by role), ``traits`` (name and type by column), ``filters``
        (expression by field, as the Look has them), ``limit`` (empty where nobody chose one) and
        ``row_limit`` (empty where the run says nothing).
    """
    query = plan.look.query
    columns = {role: getattr(plan, role) for role in _ROLES}
    saved = str(query.get("limit") or "") or None
    filters = {str(field): str(text) for field, text in (query.get("filters") or {}).items()}
    if query.get("filter_expression"):
        filters["custom filter"] = str(query["filter_expression"])
    return {
        "ids": {role: column.name for role, column in columns.items() if column is not None},
        "traits": {column.name: [name, column.type] for name, column in plan.traits},
        "filters": filters,
        "limit": "" if saved in UNCHOSEN_ROW_LIMITS else saved,
        "row_limit": str(row_limit or ""),
    }


def check(pinned: Mapping[str, Any], now: Mapping[str, Any], *, where: str) -> list[str]:
    """Compare a Look with the contract of its sync.

    :return: a warning for each new trait, and for a limit about which the run says what it means.
    :raises PermanentError: naming old and new of everything else that differs.
    """
    broken = list(_differences(pinned, now))
    if broken:
        raise PermanentError(
            f"{where}: what its sync relies on",
            should="be as it was",
            but="; ".join(broken),
            do=_remedy(broken, pinned, now),
        )
    said = [
        f"{where}: the trait `{name}` from `{column}` is new"
        for column, (name, _) in now["traits"].items()
        if column not in pinned["traits"]
    ]
    if pinned["limit"] != now["limit"]:
        said.append(f"{where}: {_limits(pinned, now)}; row_limit={now['row_limit']} decides now")
    return said


def _remedy(broken: Sequence[str], pinned: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    asks_limit = now["limit"] and not now["row_limit"] and pinned["limit"] != now["limit"]
    if asks_limit and len(broken) == 1 and _says_first(pinned):
        return (
            "Nothing was queried. Say with row_limit= what the limit means, which accepts it, or "
            "take it out of the Look."
        )
    return (
        "Nothing was queried. Mend the Look or the mapping, or run once with accept_changes=True "
        "to rely on it as it is now. "
        + ("A limit needs row_limit=, too, which says what it means. " if asks_limit else "")
        + "Where tasks with other mappings share this sync, give them one mapping, or give each a "
        "sync_id of its own."
    )


def _differences(pinned: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for role in _ROLES:
        old, new = pinned["ids"].get(role), now["ids"].get(role)
        if old != new:
            yield f"{role} came from {_shown(old)} and comes from {_shown(new)}"
    for column, (name, kind) in pinned["traits"].items():
        if column not in now["traits"]:
            yield f"the trait `{name}` from `{column}` is gone"
            continue
        new_name, new_kind = now["traits"][column]
        if name != new_name:
            yield f"`{column}` was sent as `{name}` and would be sent as `{new_name}`"
        if kind != new_kind:
            yield f"`{column}` was of type {kind} and is of type {new_kind}"
    for field in sorted(pinned["filters"].keys() | now["filters"].keys()):
        old, new = pinned["filters"].get(field), now["filters"].get(field)
        if old != new:
            yield f"the filter `{field}` was {_said(old)} and is {_said(new)}"
    yield from _limit_differs(pinned, now)
    yield from _leaving_differs(pinned, now)


def _leaving_differs(pinned: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    # Only `mirror` says it, and records of earlier versions never do.
    old, new = pinned.get("leaving"), now.get("leaving")
    if old and new and old != new:
        yield (
            f"who left was told by {old} and would be told by {new}, and those whom nothing is "
            "sent about keep the old one"
        )


def _limit_differs(pinned: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    # Who says what a limit means, of which none before said anything, gets as many rows as that.
    # Where a DAG has said so all along, nobody has seen that the limit is another one.
    if pinned["limit"] != now["limit"] and not (now["row_limit"] and _says_first(pinned)):
        yield _limits(pinned, now)


def _says_first(pinned: Mapping[str, Any]) -> bool:
    """Whether a row_limit would be the first; records of earlier versions do not tell."""
    return pinned.get("row_limit") == ""


def _limits(pinned: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return f"the row limit was {pinned['limit'] or 'none'} and is {now['limit'] or 'none'}"


def _shown(column: str | None) -> str:
    return "no column" if column is None else f"`{column}`"


def _said(expression: str | None) -> str:
    return "absent" if expression is None else repr(expression)

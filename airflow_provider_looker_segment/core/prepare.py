"""Rows become messages: the whole way from Looker's cells to lines of a chunk, in one pass.

Rows of a stream enter, lines leave, and every row is counted exactly once in the tally.
A row that is no message is a problem with a code, a column and its number, never with a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.destinations import Outcome, Requirements, Verdict
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.encoding import (
    decode,
    encode,
    encode_sorted,
    may_exceed,
    sent_bytes,
)
from airflow_provider_looker_segment.core.identity import (
    anonymous_id_of,
    email_address,
    identifier,
)
from airflow_provider_looker_segment.core.limits import MAX_MESSAGE_BYTES, MESSAGE_ID_CHARS
from airflow_provider_looker_segment.core.look import Column
from airflow_provider_looker_segment.core.mapping import EMAIL_TRAIT, Plan, check_trait_name
from airflow_provider_looker_segment.core.pivots import ROW_TOTAL, is_pivoted, pivot_name
from airflow_provider_looker_segment.core.plain_rows import PlainRows, TraitNames
from airflow_provider_looker_segment.core.problems import RejectedRow
from airflow_provider_looker_segment.core.rows import Row
from airflow_provider_looker_segment.core.tally import Tally
from airflow_provider_looker_segment.core.traits import (
    OMITTED,
    Converter,
    Unsendable,
    converter,
    is_safe,
    plain_kinds,
)
from airflow_provider_looker_segment.core.validation import Validator
from airflow_provider_looker_segment.exceptions import PermanentError

Mapped = tuple[Line, dict[str, Any], TraitNames | None]
"""A row that is a message: its line, the body that the line holds as text, and the names of its
traits where those are told; then only the ids of the body are sure to be there."""


def envelope(*, timestamp: str, version: str) -> dict[str, Any]:
    """Return what all messages of a run share.

    :param timestamp: the run's moment, ISO 8601 with its offset.
    :param version: of this package.
    """
    return {
        "type": "identify",
        "timestamp": timestamp,
        "context": {
            "app": {"name": "airflow-provider-looker-segment", "version": version},
            # The row says what is known about a user, not that the user did something just now.
            "active": False,
        },
    }


def complete(shared: Mapping[str, Any], body: Mapping[str, Any], message_id: str) -> dict[str, Any]:
    """Join a message's own part with what all messages share."""
    message = {**shared, **body, "messageId": message_id}
    if "context" in body:
        message["context"] = {**shared["context"], **body["context"]}
    return message


class Preparation:
    """One run's way from rows to lines.

    :param plan: what each column means.
    :param shared: the envelope, for the size of the finished message.
    :param seen: the users this run has had; ``None`` where somebody else tells who is repeated.
    :param requirements: what the chosen destinations need, if any were chosen.
    :ivar pivot_names: how messages name each trait of a pivot, without the pivot's value.
    :param on_rejected: called with the number, the reason and the cells of each row that is no
        message, for those who keep such rows.
    :param plain: what has parsed those rows that are no dictionaries.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        shared: Mapping[str, Any],
        seen: SeenUsers | None,
        requirements: Requirements | None = None,
        on_rejected: Callable[[int, RejectedRow, Row], None] | None = None,
        plain: PlainRows | None = None,
    ) -> None:
        self.tally = Tally()
        self._plain = plain
        self._by_name = plain is not None and plain.by_name
        self._on_rejected = on_rejected
        self._plan = plan
        self._seen = seen
        if requirements is not None and not plan.pivoted:
            # What a pivot's traits are called is known only when its rows are there.
            requirements = requirements.narrowed({name for name, _ in plan.traits})
        self._requirements = requirements
        self._validator = Validator(traits_schema=plan.mapping.traits_schema)
        self._judges = requirements is not None or plan.mapping.traits_schema is not None
        finished = complete(shared, {}, "0" * MESSAGE_ID_CHARS)
        self.max_body_bytes = MAX_MESSAGE_BYTES - sent_bytes(finished)
        self._traits = [
            (
                name,
                column.name,
                column,
                self._converter(name),
                plain_kinds(name),
                column is not plan.email and not (plan.pivoted and column.kind != "dimension"),
            )
            for name, column in plan.traits
        ]
        self._ids = [
            (key, column)
            for key, column in (("userId", plan.user_id), ("anonymousId", plan.anonymous_id))
            if column is not None
        ]
        self._pivots: dict[tuple[str, str], tuple[str, Converter]] = {}
        self._names = {name: column.shown for name, column in plan.traits}
        self._pivot_keys: dict[str, str] = {}
        self.pivot_names: dict[str, str] = {}

    def lines(self, rows: Iterable[Any]) -> Iterator[Line]:
        """Turn rows into lines; see :meth:`messages`."""
        return (line for line, *_ in self.messages(rows))

    def messages(self, rows: Iterable[Any]) -> Iterator[Mapped]:
        """Turn rows into lines, counting each row.

        :param rows: in Looker's order; the first of several rows about a user is sent.
        :raises PermanentError: when the result lacks a column that the Look promised.
        """
        tally = self.tally
        for number, row in enumerate(rows, start=1):
            tally.rows = number
            try:
                text, body, names, outcome = self._message(row)
                is_repeat = self._seen is not None and self._is_repeat(self._seen, text, body)
            except RejectedRow as rejected:
                tally.problems.add(rejected.code, rejected.column, number)
                if self._on_rejected is not None:
                    self._on_rejected(number, rejected, self._cells(row))
                continue
            if is_repeat:
                tally.duplicates += 1
                continue
            tally.messages += 1
            if outcome is not None:
                tally.verdicts.add(outcome)
            yield Line(number, text), body, names

    def _message(self, row: Any) -> tuple[str, dict[str, Any], TraitNames | None, Outcome | None]:
        """Return one row's message, and what destinations make of it."""
        text, body, names = self._plain_message(row)
        if body is None:
            body = self.body(self._cells(row))
        outcome = None if self._requirements is None else self._route(body, self._requirements)
        if text is None:
            text = encode(body)
        elif "integrations" in body:
            text = f'{text[:-1]},"integrations":{encode(body["integrations"])}}}'
        else:
            return text, body, names, outcome
        if may_exceed(text, self.max_body_bytes) and sent_bytes(body) > self.max_body_bytes:
            raise RejectedRow("message_too_large")
        return text, body, None, outcome

    def _plain_message(
        self, row: Any
    ) -> tuple[str | None, dict[str, Any] | None, TraitNames | None]:
        """Return a plain row's message before destinations see it."""
        plain = self._plain
        if plain is None or type(row) is dict:
            return None, None, None
        ids, email = self._identity(plain.identifiers(row))
        found = plain.message(row, ids, email)
        if found is None or may_exceed(found[0], self.max_body_bytes):
            return None, None, None
        text, names = found
        if not self._judges:
            return text, ids, names
        traits = plain.traits(row)
        self._validator.check(traits)
        return text, {**ids, "traits": traits}, names

    def _cells(self, row: Any) -> Row:
        cells: Row = row if self._plain is None or type(row) is dict else self._plain.cells(row)
        return cells

    def _is_repeat(self, seen: SeenUsers, text: str, body: Mapping[str, Any]) -> bool:
        """Tell whether an earlier row was identical."""
        key = "userId" if "userId" in body else "anonymousId"
        user = f"{key} {body[key]}"
        # The cells of a pivot come in any order, other traits in that of the columns.
        said = encode_sorted(body) if self._plan.pivoted else text
        # Python's hash of a text has 64 bits and is compared within this process only; the hashes
        # of two texts have nothing to do with each other.
        sighting = seen.see(hash(user), hash(f"{user} "), hash(said))
        if sighting == "conflict":
            raise RejectedRow("conflicting_duplicate")
        return sighting == "repeat"

    def add_repeated(self, row_number: int, says_the_same: bool, text: str) -> None:
        """Count a row, so far taken for a message, whose user has an earlier one.

        :param text: of the message that it was taken for.
        """
        self.tally.add_repeated(row_number, says_the_same)
        if self._requirements is not None:
            body = decode(text)
            body.pop("integrations", None)
            self.tally.verdicts.remove(self._requirements.check(body))

    def _route(self, body: dict[str, Any], requirements: Requirements) -> Outcome:
        """Switch off the destinations that cannot take a message.

        :raises RejectedRow: where the run asks to leave such rows out.
        """
        outcome = requirements.check(body)
        if not outcome.accepted:
            self.tally.verdicts.add(outcome)
            unmet = ", ".join(outcome.slugs(Verdict.UNMET))
            raise RejectedRow("unmet_destination", unmet)
        if outcome.switches or requirements.fills_options:
            integrations = requirements.integrations(outcome, body)
            if integrations is not None:
                body["integrations"] = integrations
        return outcome

    def who(self, row: Row) -> dict[str, Any]:
        """Say whom a row is about, whatever else is wrong with it; nothing where nobody knows."""
        try:
            return self._identity(row)[0]
        except (RejectedRow, KeyError, TypeError):
            return {}

    def body(self, row: Row) -> dict[str, Any]:
        """Build one message's own part.

        :raises RejectedRow: when the row is no message.
        """
        try:
            body, email = self._identity(row)
            traits: dict[str, Any] = {}
            for name, column_name, column, convert, plain, is_ordinary in self._traits:
                if not is_ordinary and self._add_special(traits, name, column, row, email):
                    continue
                value = row[column_name]["value"]
                kind = type(value)
                if kind in plain and (value.isprintable() if kind is str else is_safe(value)):
                    # Most cells are such, and the converter would only hand them through.
                    traits[name] = value
                    continue
                try:
                    value = convert(value)
                except Unsendable as problem:
                    raise RejectedRow(problem.code, column.name) from None
                if value is not OMITTED:
                    traits[name] = value
            group_id = self._plan.group_id
            if group_id is not None:
                self._add_group(body, row[group_id.name]["value"], group_id)
        except (KeyError, TypeError) as error:
            raise self._changed(row) from error
        try:
            self._validator.check(traits)
        except RejectedRow as rejected:
            raise RejectedRow(rejected.code, self._without_pivots(rejected.column)) from None
        # A row that is plain and one that is not must say the same in the same way.
        body["traits"] = dict(sorted(traits.items())) if self._by_name else traits
        return body

    def _identity(self, row: Row) -> tuple[dict[str, Any], str]:
        plan = self._plan
        body: dict[str, Any] = {}
        email, email_code, invalid = "", "", ""
        if plan.email is not None:
            email, email_code = email_address(row[plan.email.name]["value"])
            if email_code and not email:
                raise RejectedRow(email_code, plan.email.name)
            invalid = plan.email.name if email_code else ""
        for key, column in self._ids:
            text, code = identifier(row[column.name]["value"])
            if code:
                raise RejectedRow(code, column.name)
            if text:
                body[key] = text
        if not body:
            if invalid:
                raise RejectedRow(email_code, invalid)
            body["anonymousId"] = self._derived_id(email)
        return body, email

    def _derived_id(self, email: str) -> str:
        plan = self._plan
        if not email:
            raise RejectedRow("id_missing", plan.identifiers[0].name)
        if not plan.derives_anonymous_ids:
            raise RejectedRow("email_only", plan.identifiers[0].name)
        return anonymous_id_of(email)

    def _add_special(
        self, traits: dict[str, Any], name: str, column: Column, row: Row, email: str
    ) -> bool:
        """Add the traits of a column that is an e-mail address or pivoted; tell whether it is."""
        if column is self._plan.email:
            self._add_email(traits, email, column)
        elif is_pivoted(cell := row[column.name]):
            self._add_pivots(traits, name, column, cell)
        else:
            return False
        return True

    def _add_email(self, traits: dict[str, Any], email: str, column: Column) -> None:
        nulls = self._plan.mapping.nulls
        if email:
            traits[EMAIL_TRAIT] = email
        elif nulls == "send":
            traits[EMAIL_TRAIT] = None
        elif nulls == "reject":
            raise RejectedRow("null_value", column.name)

    def _add_group(self, body: dict[str, Any], value: Any, column: Column) -> None:
        group_id, code = identifier(value)
        if code:
            raise RejectedRow(code, column.name)
        if group_id:
            body["context"] = {"groupId": group_id}

    def _add_pivots(
        self, traits: dict[str, Any], name: str, column: Column, cell: Mapping[str, Any]
    ) -> None:
        for key, pivoted in cell.items():
            known = self._pivots.get((column.name, key))
            if known is None:
                known = self._pivots[column.name, key] = self._new_pivot(name, column, key)
            trait, convert = known
            try:
                value = convert(pivoted["value"])
            except Unsendable as problem:
                raise RejectedRow(problem.code, column.name) from None
            if value is not OMITTED:
                traits[trait] = value

    def _new_pivot(self, name: str, column: Column, key: str) -> tuple[str, Converter]:
        where = self._plan.look.where
        trait = f"{name} {pivot_name(key)}"
        shown = self.pivot_names[trait] = f"{name} {self._shown_pivot(key)}"
        check_trait_name(where, trait, self._plan.mapping, column=column.shown, shown=shown)
        if trait in self._names:
            raise PermanentError(
                f"{where}: its trait `{shown}`",
                should="come from one column and pivot",
                but=f"{self._names[trait]} and {column.shown} would each be it",
                do="Relabel one in the Look, or rename it with mapping.rename.",
            )
        self._names[trait] = column.shown
        return trait, self._converter(trait)

    def _without_pivots(self, path: str) -> str:
        # The longest first, because a name may begin like another; paths quote as Python does.
        for trait in sorted(self.pivot_names, key=len, reverse=True):
            escaped = trait.replace("\\", "\\\\").replace("'", "\\'")
            path = path.replace(escaped, self.pivot_names[trait])
            path = path.replace(trait, self.pivot_names[trait])
        return path

    def _shown_pivot(self, key: str) -> str:
        """Say which pivot it is by its place: the name of one is a value of the pivoted column."""
        if key == ROW_TOTAL:
            return pivot_name(key)
        return self._pivot_keys.setdefault(key, f"(pivot {len(self._pivot_keys) + 1})")

    def _converter(self, trait: str) -> Converter:
        mapping = self._plan.mapping
        return converter(trait, nulls=mapping.nulls, arrays=mapping.arrays)

    def _changed(self, row: Row) -> PermanentError:
        wanted = [*self._plan.identifiers, *(column for _, column in self._plan.traits)]
        wanted += [self._plan.group_id] if self._plan.group_id else []
        missing = sorted({column.name for column in wanted if column.name not in row})
        return PermanentError(
            f"{self._plan.look.where}: the result",
            should="hold every column of the Look",
            but=f"it lacks {', '.join(missing)}" if missing else "a cell of it has no value",
            do="Nothing was sent. The Look may have been edited during the run: clear the task.",
        )

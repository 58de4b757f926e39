"""Why a row is no message: the checks a message must pass before it may leave.

A built message enters; nothing leaves, or a :class:`RejectedRow` with a code and a path.
Checks never change a message, and what they raise never holds one of its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_looker_segment.core.limits import MAX_TRAITS
from airflow_provider_looker_segment.core.problems import RejectedRow
from airflow_provider_looker_segment.core.tracking_plan import traits_rules
from airflow_provider_looker_segment.exceptions import PermanentError


class Validator:
    """The checks of one run.

    :param traits_schema: a JSON Schema that the traits of every message must meet, or an export
        of a Segment tracking plan, if any; a path must have been read before.
    :raises PermanentError: when ``traits_schema`` is neither.
    """

    def __init__(self, *, traits_schema: Mapping[str, Any] | str | None) -> None:
        self._schema = None if traits_schema is None else compiled(traits_schema)

    def check(self, traits: Mapping[str, Any]) -> None:
        """Check the traits of one message.

        :raises RejectedRow: with the first rule that is broken, in the order of the paths.
        """
        if len(traits) > MAX_TRAITS:
            raise RejectedRow("too_many_traits")
        if self._schema is not None:
            self._check_schema(self._schema, traits)

    @staticmethod
    def _check_schema(schema: Any, traits: Mapping[str, Any]) -> None:
        from referencing.exceptions import Unresolvable  # noqa: PLC0415 - comes with jsonschema

        try:
            if schema.is_valid(traits):
                return
            errors = sorted(schema.iter_errors(traits), key=lambda error: error.json_path)
        except Unresolvable as error:
            raise PermanentError(
                "traits_schema",
                should="refer to its own definitions only",
                but=f"the reference {error.ref!r} leads to none",
                do="Copy what it refers to into the schema.",
            ) from error
        # The library's own sentence quotes the value; path and rule are enough to mend it.
        raise RejectedRow("traits_schema", f"{errors[0].json_path} {errors[0].validator}")


def compiled(traits_schema: Mapping[str, Any] | str) -> Any:
    """Make a validator of the traits.

    :param traits_schema: as in :class:`Validator`.
    :raises PermanentError: when it is neither a JSON Schema nor a tracking plan.
    """
    import jsonschema  # noqa: PLC0415 - half a second at import
    import referencing  # noqa: PLC0415 - comes with jsonschema

    rules: Any = traits_schema
    if isinstance(rules, Mapping):
        rules = traits_rules(rules)
    kind = jsonschema.validators.validator_for(rules, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(rules)
    except jsonschema.SchemaError as error:
        raise PermanentError(
            f"traits_schema{error.json_path.removeprefix('$')}",
            should="be a JSON Schema",
            but=f"it breaks the rule {error.validator}",
            do="Mend the schema.",
        ) from error
    # An empty registry: nothing is ever fetched.
    return kind(rules, registry=referencing.Registry())

"""What users write into operator arguments, templates and forms becomes typed values.

Templates render everything to text unless a DAG says otherwise, so text is understood too.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_looker_segment.connections import truth
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators.errors import undefined

if TYPE_CHECKING:
    # Some of this is read where DAG files are parsed, and that should cost next to nothing.
    from airflow_provider_looker_segment.core.mapping import Mapping
    from airflow_provider_looker_segment.core.query import RowLimit

_NOTHING = frozenset({"", "none", "null"})
_MOST_DIGITS = 18
"""Of a row limit: no table has more rows, and Python does not read thousands of digits."""


def look_id(said: Any) -> str:
    """Read a Look's id.

    :raises PermanentError: when it is empty, as a template that found nothing leaves it, or an
        address, of which it is only a part.
    """
    text = text_of("look_id", said)
    if not text or "/" in text:
        raise PermanentError(
            "Argument `look_id`:",
            should="be the id of a Look",
            but="it is an address" if text else "it is empty",
            do="Write the number from the Look's address in Looker, or mend the template.",
        )
    return text


def text_of(name: str, said: Any) -> str:
    """Read text; empty where nothing was said.

    :raises PermanentError: when it is several things.
    """
    _refuse_undefined(name, said)
    if isinstance(said, AbstractMapping | list | tuple | set | frozenset):
        raise PermanentError(
            f"Argument `{name}`:",
            should="be one text",
            but=f"it is a {type(said).__name__}",
            do="Write the text itself.",
        )
    return "" if _is_nothing(said) else str(said).strip()


def flag(name: str, said: Any, *, unless_said: bool = False) -> bool:
    """Read a truth value.

    :param unless_said: what holds where nothing was said.
    :raises PermanentError: when it is neither true nor false.
    """
    _refuse_undefined(name, said)
    return unless_said if _is_nothing(said) else truth(said, where=f"Argument `{name}`:")


def choice(name: str, said: Any, among: Sequence[str]) -> str:
    """Read one of a few words.

    :raises PermanentError: when it is none of them.
    """
    _refuse_undefined(name, said)
    text = str(said).strip().lower()
    if text in among:
        return text
    raise PermanentError(
        f"Argument `{name}`:",
        should=f"be one of {', '.join(among)}",
        but="it is none of them",
        do="Mend it.",
    )


def snapshot(said: Any) -> dict[str, Any]:
    """Read where a snapshot is, from an address or a mapping; empty where nobody said it."""
    _refuse_undefined("snapshot", said)
    value = _parsed(said)
    if isinstance(value, AbstractMapping):
        return dict(value)
    return {"path": str(value)} if value else {}


def row_limit(said: Any) -> RowLimit:
    """Read a row limit.

    :raises PermanentError: when it is neither empty, ``look``, ``all`` nor a number above 0.
    """
    _refuse_undefined("row_limit", said)
    text = "" if said is None else str(said).strip().lower()
    if text in _NOTHING:
        return None
    if text == "look":
        return "look"
    if text == "all":
        return "all"
    if text.isdecimal() and len(text) <= _MOST_DIGITS and int(text):
        return int(text)
    raise PermanentError(
        "Argument `row_limit`:",
        should='be "look", "all", or a number above 0',
        but="it is none of them",
        do="Mend it, or leave it out.",
    )


def names(name: str, said: Any) -> list[str]:
    """Read a list of names, also from text such as ``braze, zendesk``."""
    _refuse_undefined(name, said)
    value = _parsed(said)
    if isinstance(value, str):
        value = value.split(",")
    if value is None:
        return []
    if not isinstance(value, list | tuple | set):
        raise PermanentError(
            f"Argument `{name}`:",
            should="be a list of names",
            but="it is not",
            do="Write them with commas between them, like braze, zendesk.",
        )
    return [text for entry in value if (text := str(entry).strip())]


def expressions(name: str, said: Any) -> dict[str, str]:
    """Read filter expressions by field, from a mapping, JSON, or lines of ``field: expression``.

    :raises PermanentError: when it is none of them, or an expression is no text.
    """
    _refuse_undefined(name, said)
    value = _parsed(said)
    if value is None:
        return {}
    # Broken JSON is no line.
    if isinstance(value, str) and value[0] not in "[{(":
        value = [line for line in value.splitlines() if line.strip()]
    if isinstance(value, list | tuple):
        # A line break at the end is an empty line to Airflow's form.
        pairs = [str(entry).partition(":") for entry in value if str(entry).strip()]
        value = {field.strip(): text.strip() for field, colon, text in pairs if colon}
        if len(value) != len(pairs):
            value = None
    if not isinstance(value, AbstractMapping):
        raise PermanentError(
            f"Argument `{name}`:",
            should="give an expression for each field",
            but="it does not",
            do='Write {"users.state": "CA"}, or one line "users.state: CA" for each field.',
        )
    return {str(field): _expression(name, str(field), said) for field, said in value.items()}


def _expression(name: str, field: str, said: Any) -> str:
    """Return an expression as text; what Looker would compare with no row's value is refused."""
    if said is None or said == "None":
        # Templates write this word where a param is empty.
        but, do = "it is None", '"" for any value, "NULL" for none, "None,None" for the very word'
    elif isinstance(said, bool | AbstractMapping | list | tuple | set):
        but, do = f"it is a {type(said).__name__}", '"CA,NY" for one of several, "Yes" or "No"'
    else:
        return str(said)
    raise PermanentError(
        f"Argument `{name}`, field `{field}`:",
        should="have an expression as Looker writes it",
        but=but,
        do=f"Write it as text: {do}. To keep the Look's own filter, leave the field out.",
    )


def settings(name: str, said: Any) -> AbstractMapping[str, Any] | None:
    """Read settings from a mapping, from its text, or from a YAML or JSON file by its path.

    :raises PermanentError: when it is none of them, or the file cannot be read or holds no mapping.
    """
    _refuse_undefined(name, said)
    value = _parsed(said)
    is_broken = isinstance(value, str) and value.startswith("{")
    if is_broken or not isinstance(value, str | Path):
        if value is None or isinstance(value, AbstractMapping) or is_dataclass(said):
            found: AbstractMapping[str, Any] | None = value
            return found
        raise PermanentError(
            f"Argument `{name}`:",
            should="be keys and values, or the path of a YAML or JSON file",
            but="it is neither",
            do="Write a dict or whole JSON, or the path as the worker sees it.",
        )
    import yaml  # noqa: PLC0415 - only for configuration in files

    try:
        text = Path(value).read_text("utf-8")
        # YAML refuses the tabs that JSON may be indented with.
        loaded = json.loads(text) if Path(value).suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PermanentError(
            f"Argument `{name}`, file {str(value)!r}:",
            should="be a YAML or JSON file",
            but=f"it cannot be read ({type(error).__name__})",
            do="Check the path as the worker sees it, and the file's syntax.",
        ) from error
    if not isinstance(loaded, dict):
        raise PermanentError(
            f"Argument `{name}`, file {str(value)!r}:",
            should="hold keys and values",
            but="it does not",
            do="Mend the file.",
        )
    return loaded


def mapping(said: Any) -> Mapping:
    """Read a mapping, and the file of its ``traits_schema`` where that is a path.

    :raises PermanentError: when a file cannot be read, or the mapping is none.
    """
    from airflow_provider_looker_segment.core.mapping import Mapping  # noqa: PLC0415 - see above

    read = Mapping.of(settings("mapping", said))
    if not isinstance(read.traits_schema, str):
        return read
    schema = settings("mapping.traits_schema", read.traits_schema)
    return Mapping.of(replace(read, traits_schema=schema))


def _parsed(said: Any) -> Any:
    if not isinstance(said, str):
        return said
    text = said.strip()
    if text.lower() in _NOTHING:
        return None
    if text[0] not in "[{(":
        return text
    for read in (json.loads, ast.literal_eval):
        # Python gives up on what is nested too deep in a way of its own.
        with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return read(text)
    return text


def _is_nothing(said: Any) -> bool:
    return said is None or str(said).strip().lower() in _NOTHING


def _refuse_undefined(name: str, said: Any) -> None:
    """Refuse what a native template leaves where a variable does not exist."""
    from jinja2 import Undefined  # noqa: PLC0415 - Airflow has it loaded by then

    values = said if isinstance(said, list | tuple) else [said]
    if isinstance(said, AbstractMapping):
        values = list(said.values())
    if any(isinstance(value, Undefined) for value in values):
        raise undefined(name, "it is undefined")

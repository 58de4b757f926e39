"""Values that nobody would write by chance, and all that this process says, to look for them in."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator

import pytest

from tests.hazards.flow import Flow, row

PLANTED = {
    "id": "planted-id-x7",
    "email": "planted.mail@secret.example",
    "name": 'Planted O\'Name "Q"',
    "note": "planted note, 4711-0815",
}

NEEDLES = ("lanted", "secret.example", "4711-0815", "O'Name", "8054321")
"""Parts of planted values that no message could hold by chance."""

SECRETS = ("sandbox-write-key", "sandbox-client-secret", "c2FuZGJveC13cml0ZS1rZXk6")
"""The secrets of the connections; the last one is the key as it travels."""


def planted(number: int = 0, **cells: str) -> str:
    """Write a row whose every value is planted."""
    said = {name: json.dumps(f"{value} {number}") for name, value in PLANTED.items()}
    said["email"] = json.dumps(f"{number}{PLANTED['email']}")
    return row(**{**said, **cells})


class Everything:
    """All that this process says, at every level, as text."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.lines: list[str] = []
        self._capfd = capfd

    def text(self, *flows: Flow) -> str:
        """Return what was logged, printed, raised and stored."""
        output = self._capfd.readouterr()
        said = [*self.lines, output.out, output.err]
        for flow in flows:
            said += [f"{place} {text}" for place, text in flow.xcoms.texts.items()]
            said += [text for store in flow.stores.values() for text in store.texts.values()]
            for error in flow.errors.values():
                said += traceback.format_exception(error)
                said += [f"{one} {one.args!r}" for one in _chain(error)]
        return "\n".join(said)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def assert_private(said: str) -> None:
    """Nothing planted and no secret is in a text."""
    found = [needle for needle in (*NEEDLES, *SECRETS) if needle in said]
    assert [] == [said[max(0, said.index(one) - 300) : said.index(one) + 80] for one in found]

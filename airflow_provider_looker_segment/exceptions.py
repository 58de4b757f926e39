"""Every error of this package, grouped by what to do about it.

::

    LookerSegmentError
    ├── PermanentError   someone must change something; a retry would fail alike
    │   └── GuardError   a guard stopped a run; someone may approve what it would send
    └── TransientError   trying again later may succeed; carries how long to wait

A bad row is not an error here: it is a :class:`~.core.problems.Problem` in the report, and the
guards decide whether the run may go on without it.
Messages read *where · should · but · do*, and never hold a trait value or a secret.
"""

from __future__ import annotations

from typing import Any


class LookerSegmentError(Exception):
    """The root of the tree; nothing else is raised on purpose by this package.

    :param where: what the message is about: a Look, a column, a connection id, a row number.
    :param should: what was expected of it, as the end of the phrase "should …".
    :param but: what was found instead, as a clause.
    :param do: what the reader can do about it, as one or more sentences.
    :ivar has_lines: whether its text is that of :meth:`in_lines`, as tasks' logs show it.
    """

    def __init__(self, where: str, *, should: str, but: str, do: str) -> None:
        super().__init__(where, should, but, do)
        self.where = where
        self.should = should
        self.but = but
        self.do = do
        self.has_lines = False

    def __str__(self) -> str:
        if self.has_lines:
            return self.in_lines()
        # What was found may be somebody else's sentence, full stop and all.
        but = self.but.removesuffix(".")
        return f"{self.where} should {self.should}, but {but}. {self.do}"

    def in_lines(self) -> str:
        """Return the message in lines, for where a long one would be hard to read."""
        but = self.but.removesuffix(".")
        return f"{self.where}\n  should {self.should},\n  but {but}.\n  {self.do}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the facts when Airflow pickles the error across a process border."""
        return _rebuild, (type(self), self.args, self.__dict__.copy())


class PermanentError(LookerSegmentError):
    """Someone must change something first: operators turn it into ``AirflowFailException``."""


class GuardError(PermanentError):
    """A guard stopped a run before anything was sent; its chunks can be approved as they are."""


class TransientError(LookerSegmentError):
    """Trying again later may succeed: operators let it through, so that Airflow's retries apply.

    :param retry_after_s: seconds the other side asked to wait, if it did.
    """

    def __init__(
        self, where: str, *, should: str, but: str, do: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(where, should=should, but=but, do=do)
        self.retry_after_s = retry_after_s


def _rebuild(
    kind: type[LookerSegmentError], args: tuple[str, str, str, str], state: dict[str, Any]
) -> LookerSegmentError:
    where, should, but, do = args
    error = kind(where, should=should, but=but, do=do)
    error.__dict__.update(state)
    return error

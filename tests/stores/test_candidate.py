"""What a run leaves for its commit says the same however it was handed over."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.history import Step, Told
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.candidate import Candidate, Sent, Unchanged
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal

SEAL = SnapshotSeal(b"s" * 32)
WINDOW = 5

keys = st.binary(min_size=16, max_size=16)
tolds = st.sampled_from([int(Told.IN), int(Told.LEFT)])
texts = st.text(min_size=1, max_size=9).map(lambda text: text.replace("\n", " "))
common = {
    "fingerprint": keys,
    "told": tolds,
    "body": texts.map(str.encode),
}
users = st.dictionaries(
    keys,
    st.one_of(
        st.fixed_dictionaries(common),
        st.fixed_dictionaries({**common, "names": st.integers(0, 2**80), "skeleton": texts}),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(parts=st.lists(users, max_size=3), mirrors=st.booleans())
@example(
    parts=[
        {
            bytes([at]) * 16: {
                "fingerprint": b"f" * 16,
                "told": 1 + at % 2,
                "body": b"x" * at,
                "names": at % 2,
                "skeleton": "s" * (1 + at % 7),
            }
            for at in range(1, 250)
        }
    ],
    mirrors=True,
)
def test_parts_are_kept_as_each_user_would_be(
    parts: list[dict[bytes, dict[str, Any]]], *, mirrors: bool
) -> None:
    """Steps, sealed skeletons and messages are found under the keys of their users."""
    taken: set[bytes] = set()
    expected: dict[bytes, tuple[Step, str, bytes]] = {}
    with TemporaryDirectory() as folder:
        base = Path(folder, "base")
        tables.create_snapshot(base)
        candidate = Candidate(Path(folder), base, seal=SEAL, window=WINDOW)
        for part in parts:
            fresh = sorted(part.keys() - taken)
            taken.update(fresh)
            for key in fresh:
                if not mirrors:
                    part[key].pop("skeleton", None)
            unchanged: list[Unchanged] = []
            sent: list[Sent] = []
            for key in fresh:
                said = part[key]
                fingerprint, told, body = said["fingerprint"], said["told"], said["body"]
                kept = said.get("skeleton", "")
                if "names" in said:
                    position = candidate.messages + len(sent)
                    step = Step(1, fingerprint, said["names"], WINDOW, told, 0, position, None)
                    sent.append((key, fingerprint, told, body, said["names"], kept))
                else:
                    step = Step(2, fingerprint, 0, WINDOW, told, 0, None, None)
                    unchanged.append((key, fingerprint, told, body))
                expected[key] = step, kept, body
            candidate.add_unchanged(unchanged)
            candidate.add_sent(sent)
        candidate.close({})
        found = read(candidate)
    assert expected == found


def read(candidate: Candidate) -> dict[bytes, tuple[Step, str, bytes]]:
    """Return for each user the step, the skeleton and the message that it names."""
    with closing(tables.connect(candidate.bodies)) as database:
        blocks = database.execute("SELECT first, data FROM blocks ORDER BY first").fetchall()
    bodies: list[bytes] = []
    for first, data in blocks:
        assert first == len(bodies)
        bodies += [text.encode() for text in SEAL.open_block(data, where="here")]
    found = {}
    with closing(tables.connect(candidate.decided)) as database:
        for key, *columns in database.execute(f"SELECT key, {tables.STEP_COLUMNS} FROM steps"):
            step = tables.step_of(columns)
            kept = SEAL.open(step.skeleton, where="here") if step.skeleton is not None else ""
            found[key] = (
                step._replace(ordinal=0, skeleton=None),
                kept,
                bodies[step.ordinal],
            )
    return found

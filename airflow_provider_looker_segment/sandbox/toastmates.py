"""The generated dataset: users of toastmates.com and their visits over the last 400 days.

A day enters, a :class:`~.dataset.Dataset` leaves; the same day always gives the same rows. Nobody
in it exists: addresses are at domains that are reserved for examples, but for the one person of
Segment's documentation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from airflow_provider_looker_segment.sandbox.dataset import Dataset

USERS: Final = 3000
DAYS: Final = 400
_SEED: Final = 20190701
_ACCOUNTS: Final = 40
_ID_CHARS: Final = 16
_FIRST_LETTERS: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LETTERS: Final = f"0{_FIRST_LETTERS}"

TY_ID: Final = "00MWWFOLRcETcTCf"
# Both inside the 30 days before each of the last ten midnights, and no other near them.
_TY_DAYS_AGO: Final = (14, 22, 75, 120, 310)

_GIVEN: Final = (
    *("Ada", "Björn", "Chloé", "Dragoş", "Éowyn", "Fatma", "Grażyna", "Håkon", "Iñaki", "José"),
    *("王伟", "李娜", "さくら", "陽翔", "민준", "서연", "Минако", "Олексій", "Ελένη", "Γιώργος"),
    *("محمد", "فاطمة", "דוד", "שרה", "आरव", "प्रिया", "สมชาย", "አበበ", "Նարե", "ნინო"),
)
_FAMILY: Final = (
    *("Lovelace", "Þórsson", "O'Hara", "Ionescu", "Şahin", "Nowak", "Østergård", "García"),
    *("陈", "田中", "김", "Иванова", "Παπαδάκη", "العلي", "כהן", "शर्मा", "Nguyễn", "🌮 Smith"),
)
_DOMAINS: Final = ("example.com", "example.org", "example.net")
_PLANS: Final = ("free", "free", "free", "team", "business")
_COUNTRIES: Final = ("US", "DE", "BR", "IN", "JP", "FR", "EG", "IL", "KR", None)
_DEVICES: Final = ("phone", "phone", "laptop", "laptop", "tablet", None)

# The columns of a user but the last, and how many seconds before the midnight they signed up.
_User = tuple[tuple[object, ...], int]
_Session = tuple[object, object, int, int]


def generate(today: date | None = None) -> Dataset:
    """Make the dataset as it is on one day.

    :param today: the day on which it ends, and the sandbox's today; the real one by default (UTC).
    :return: about 3,000 users, of whom about 2,100 were active in the last 30 days.
    """
    anchor = today or datetime.now(UTC).date()
    chance = random.Random(_SEED)  # noqa: S311 - the same rows every time are the point
    users = [_ty(), *(_user(chance, number) for number in range(1, USERS))]
    sessions = list(_sessions(chance, users))
    midnight = datetime.combine(anchor, time(), UTC)

    def moment(seconds_ago: int) -> str:
        return (midnight - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%d %H:%M:%S")

    columns = "id name email plan age country newsletter lifetime_value account_id created_at"
    return Dataset.from_rows(
        Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"),
        {
            "users": (
                tuple(columns.split()),
                ((*values, moment(seconds_ago)) for values, seconds_ago in users),
            ),
            "sessions": (
                ("id", "user_id", "device", "pages", "started_at"),
                (
                    (number, user_id, device, pages, moment(seconds_ago))
                    for number, (user_id, device, pages, seconds_ago) in enumerate(sessions, 1)
                ),
            ),
            "accounts": (("id", "name", "uid"), iter(_accounts())),
        },
        today=anchor,
    )


def _ty() -> _User:
    values = (TY_ID, "Ty Arthur", "ty.arthur@segment.com", "team", 34, "US", 1, 412.5, "acc_001")
    return values, DAYS * 86400


def _user(chance: random.Random, number: int) -> _User:
    first = chance.choice(_FIRST_LETTERS)
    user_id = first + "".join(chance.choice(_LETTERS) for _ in range(_ID_CHARS - 1))
    name = f"{chance.choice(_GIVEN)} {chance.choice(_FAMILY)}"
    email = f"user{number:04d}@{chance.choice(_DOMAINS)}"
    values = (
        user_id,
        name if chance.random() > 0.02 else None,
        email if chance.random() > 0.03 else None,
        chance.choice(_PLANS),
        chance.randint(16, 80) if chance.random() > 0.1 else None,
        chance.choice(_COUNTRIES),
        int(chance.random() < 0.4),
        round(chance.lognormvariate(3, 1.5), 2),
        f"acc_{chance.randint(1, _ACCOUNTS):03d}" if chance.random() < 0.6 else None,
    )
    return values, chance.randint(0, DAYS * 86400)


def _sessions(chance: random.Random, users: list[_User]) -> Iterator[_Session]:
    """Yield (user id, device, pages, seconds before the anchor's midnight); negative is today."""
    for days_ago in _TY_DAYS_AGO:
        yield TY_ID, "laptop", 5, days_ago * 86400 - 34200
    for values, born_s in users[1:]:
        # Most come back often; some come rarely, and some stopped coming at all.
        pause_days = chance.choice((3, 5, 8, 12, 20, 40))
        left_s = 0 if chance.random() < 0.72 else chance.randint(0, born_s)
        seconds_ago = born_s
        while seconds_ago > left_s - (86400 if left_s == 0 else 0):
            yield values[0], chance.choice(_DEVICES), chance.randint(1, 30), seconds_ago
            seconds_ago -= 60 + int(chance.expovariate(1 / (pause_days * 86400)))


def _accounts() -> Iterator[tuple[object, ...]]:
    for number in range(1, _ACCOUNTS + 1):
        yield f"acc_{number:03d}", f"Account {number}", f"uid-{number:05d}"

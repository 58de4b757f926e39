"""The record of everything that reached the Segment stand-in; thread-safe.

Requests and messages enter, counts, users and recent messages leave. Counters, users and the
index of message ids are exact however many messages arrive; texts are kept for the newest only.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from threading import Lock
from typing import Any, Final, NamedTuple

from .intake import Envelope, Sent, discard_code, event_time, instant, iso
from .profiles import Arrival, Profile, changed, profile_key
from .routing import Router

_KEPT_REQUESTS: Final = 100_000
_KEPT_REJECTED: Final = 1_000


class Kept(NamedTuple):
    """An accepted message that is still kept whole."""

    number: int
    source: str
    key: str
    arrival: Arrival
    sent_at: str | None
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Return the message as JSON: what Segment adds, and the body as it was accepted."""
        return {
            "number": self.number,
            "source": self.source,
            "receivedAt": self.arrival.received_at,
            "sentAt": self.sent_at,
            "originalTimestamp": self.arrival.original_timestamp,
            "timestamp": self.arrival.timestamp,
            "message": json.loads(self.text),
        }


class Arrivals:
    """What arrived at one stand-in.

    :param write_keys: write key to source name.
    :param destinations: the destinations connected to every source.
    :param max_messages: largest number of messages in one batch.
    :param max_kept: how many of the newest messages are kept whole.
    """

    def __init__(
        self,
        write_keys: Mapping[str, str],
        destinations: Iterable[str],
        *,
        max_messages: int,
        max_kept: int,
    ) -> None:
        self.write_keys = dict(write_keys)
        self.router = Router(destinations)
        self._max_messages = max_messages
        self._max_kept = max_kept
        self._lock = Lock()
        self._clear()

    def _clear(self) -> None:
        self._started = time.monotonic()
        self._requests: deque[dict[str, Any]] = deque(maxlen=_KEPT_REQUESTS)
        self._statuses: Counter[int] = Counter()
        self._byte_count = 0
        self._received = self._accepted = self._duplicates = 0
        self._rejected: Counter[str] = Counter()
        self._recent_rejected: deque[dict[str, Any]] = deque(maxlen=_KEPT_REJECTED)
        self._seen: set[bytes] = set()
        self._profiles: dict[tuple[bool, str], Profile] = {}
        self._kept: deque[Kept] = deque(maxlen=self._max_kept)
        self._routed: Counter[int] = Counter()
        self._unknown_integrations: Counter[str] = Counter()

    def reset(self) -> None:
        """Forget everything, message ids included."""
        with self._lock:
            self._clear()

    def note_request(
        self, method: str, path: str, status: int, byte_count: int, messages: int
    ) -> None:
        """Record one request of the Tracking API and how it was answered.

        :param byte_count: size of the request's body as it came over the wire.
        """
        with self._lock:
            self._statuses[status] += 1
            self._byte_count += byte_count
            self._requests.append(
                {
                    "method": method,
                    "path": path,
                    "status": status,
                    "bytes": byte_count,
                    "messages": messages,
                    "seconds": round(time.monotonic() - self._started, 6),
                }
            )

    def take(self, envelope: Envelope, write_key: str) -> None:
        """Accept, drop as a repeat, or reject every message of a request, in order."""
        received_at = datetime.now(UTC)
        with self._lock:
            self._received += len(envelope.messages)
            whole = self._code_of_request(envelope, write_key)
            if not envelope.messages and whole is not None:
                self._reject(whole, None, received_at)
            sent_at = instant(envelope.sent_at)
            clock = _Clock(received_at, sent_at)
            for sent in envelope.messages:
                code = whole or discard_code(sent.body)
                if code is not None:
                    self._reject(code, sent, received_at)
                elif self._is_repeat(sent.body):
                    self._duplicates += 1
                else:
                    self._accept(sent, self.write_keys[write_key], envelope.sent_at, clock)

    def _code_of_request(self, envelope: Envelope, write_key: str) -> str | None:
        if write_key not in self.write_keys:
            return "unknown_write_key"
        if len(envelope.messages) > self._max_messages:
            return "too_many_messages"
        return None if envelope.messages else "empty_batch"

    def _reject(self, code: str, sent: Sent | None, received_at: datetime) -> None:
        self._rejected[code] += 1
        self._recent_rejected.append(
            {
                "code": code,
                "receivedAt": iso(received_at),
                "message": sent.body if sent else None,
            }
        )

    def _is_repeat(self, message: dict[str, Any]) -> bool:
        message_id = message.get("messageId")
        if not isinstance(message_id, str) or not message_id:
            return False
        digest = _digest(message_id)
        if digest in self._seen:
            return True
        self._seen.add(digest)
        return False

    def _accept(self, sent: Sent, source: str, sent_at: str | None, clock: _Clock) -> None:
        message, text = sent
        if not isinstance(message.get("messageId"), str) or not message["messageId"]:
            message = {**message, "messageId": f"api-{uuid.uuid4()}"}
            text = json.dumps(message)
            self._seen.add(_digest(message["messageId"]))
        route = self.router.route(message.get("integrations"))
        original, timestamp = clock.read(message.get("timestamp"))
        arrival = Arrival(clock.received_at, timestamp, original, route.bits)
        key = profile_key(message)
        self._profiles[key] = changed(self._profiles.get(key), message, arrival)
        self._accepted += 1
        self._routed[route.bits] += 1
        self._unknown_integrations.update(route.unknown)
        self._kept.append(Kept(self._accepted, source, key[1], arrival, sent_at, text))

    def summary(self) -> dict[str, Any]:
        """Return the counts; received = accepted + duplicates + rejected messages."""
        with self._lock:
            return {
                "requests": sum(self._statuses.values()),
                "statuses": {str(status): n for status, n in sorted(self._statuses.items())},
                "bytes": self._byte_count,
                "received": self._received,
                "accepted": self._accepted,
                "duplicates": self._duplicates,
                "rejected": dict(self._rejected),
                "users": len(self._profiles),
                "kept": len(self._kept),
                "unknownIntegrations": dict(self._unknown_integrations),
                "seconds": round(time.monotonic() - self._started, 3),
            }

    def requests(self, limit: int, offset: int) -> dict[str, Any]:
        """Return requests in order of arrival; the newest 100,000 are kept."""
        with self._lock:
            return {
                "total": len(self._requests),
                "requests": list(islice(self._requests, offset, offset + limit)),
            }

    def rejected(self, limit: int, offset: int) -> dict[str, Any]:
        """Return messages that were dropped, with their codes; the newest 1,000 are kept."""
        with self._lock:
            return {
                "total": len(self._recent_rejected),
                "rejected": list(islice(self._recent_rejected, offset, offset + limit)),
            }

    def messages(
        self, limit: int, offset: int, user_id: str | None, *, newest: bool
    ) -> dict[str, Any]:
        """Return kept messages, of one user if asked, in order of arrival or newest first."""
        with self._lock:
            found = [kept for kept in self._kept if user_id is None or kept.key == user_id]
        if newest:
            found.reverse()
        return {
            "total": len(found),
            "messages": [kept.as_dict() for kept in found[offset : offset + limit]],
        }

    def users(
        self, limit: int, offset: int, search: str = "", destination: str | None = None
    ) -> dict[str, Any]:
        """Return users in the order they were first seen.

        :param search: text that must occur in an id, or in the traits as JSON; case is ignored.
        :param destination: only users whom this connected destination received.
        """
        with self._lock:
            profiles: Iterable[Profile] = list(self._profiles.values())
        if destination is not None:
            bit = self.router.bit(destination) or 0
            profiles = [profile for profile in profiles if profile.destinations & bit]
        if search:
            needle = search.casefold()
            profiles = [profile for profile in profiles if needle in _searchable(profile)]
        found = list(profiles)
        page = found[offset : offset + limit]
        return {"total": len(found), "users": [self._user(profile) for profile in page]}

    def user(self, id_: str) -> dict[str, Any] | None:
        """Return one user by ``userId``, else by ``anonymousId``, or ``None``."""
        with self._lock:
            profile = self._profiles.get((True, id_)) or self._profiles.get((False, id_))
        return None if profile is None else self._user(profile)

    def destinations(self) -> dict[str, Any]:
        """Return how many messages and users each connected destination received."""
        with self._lock:
            routed = dict(self._routed)
            users = Counter(profile.destinations for profile in self._profiles.values())
            unknown = dict(self._unknown_integrations)
        return {
            "destinations": [
                {
                    "name": name,
                    "messages": _with_bit(routed, self.router.bit(name)),
                    "users": _with_bit(users, self.router.bit(name)),
                }
                for name in self.router.destinations
            ],
            "UNKNOWN_INTEGRATION": unknown,
        }

    def _user(self, profile: Profile) -> dict[str, Any]:
        return {
            "id": profile.anonymous_id if profile.user_id is None else profile.user_id,
            "userId": profile.user_id,
            "anonymousId": profile.anonymous_id,
            "groupId": profile.group_id,
            "traits": profile.traits,
            "timestamp": profile.timestamp,
            "originalTimestamp": profile.original_timestamp,
            "firstSeen": profile.first_seen,
            "lastSeen": profile.last_seen,
            "messages": profile.messages,
            "destinations": self.router.names(profile.destinations),
        }


class _Clock:
    """The times of one request; equal timestamps are computed and kept once."""

    def __init__(self, received_at: datetime, sent_at: datetime | None) -> None:
        self._received_at = received_at
        self._sent_at = sent_at
        self._read: dict[str, tuple[str | None, str]] = {}
        self.received_at = iso(received_at)

    def read(self, original: object) -> tuple[str | None, str]:
        """Return ``(originalTimestamp, timestamp)`` of a message."""
        if not isinstance(original, str):
            return None, self.received_at
        if original not in self._read:
            happened = event_time(self._received_at, self._sent_at, original)
            self._read[original] = (original, iso(happened))
        return self._read[original]


def _digest(message_id: str) -> bytes:
    return hashlib.blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _searchable(profile: Profile) -> str:
    return f"{profile.user_id}\n{profile.anonymous_id}\n{profile.traits_json}".casefold()


def _with_bit(counts: Mapping[int, int], bit: int | None) -> int:
    return sum(count for bits, count in counts.items() if bit and bits & bit)

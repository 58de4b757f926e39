"""What hides users in a snapshot: keyed hashes in place of ids, and sealed messages.

Ids and texts enter, bytes leave that say nothing without the sync's secret.
The secret is the sync's own and no write key's, so that a rotated write key changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from struct import iter_unpack

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from airflow_provider_looker_segment.exceptions import PermanentError

SECRET_BYTES = 32
"""Bytes of a sync's secret."""

_NONCE_BYTES = 12
_LEVEL = 1
"""Of compression: these texts are written at each run and seldom read."""


class SnapshotSeal:
    """Hashes and seals with a sync's secret.

    :param secret: :data:`SECRET_BYTES` bytes that nobody without the sync's Airflow has.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a secret has {SECRET_BYTES} bytes")
        self.fingerprint = _derived(secret, b"fingerprint")[:8].hex()
        self._users = hashlib.blake2b(digest_size=16, key=_derived(secret, b"users"))
        self._cipher = AESGCM(_derived(secret, b"texts"))

    def key(self, kind: str, identifier: str) -> bytes:
        """Return what stands for a user: sixteen bytes.

        :param kind: ``userId`` or ``anonymousId``.
        """
        digest = self._users.copy()
        digest.update(f"{kind}\0{identifier}".encode("utf-8", "surrogatepass"))
        return digest.digest()

    def close(self, text: str) -> bytes:
        """Seal one text."""
        return self.close_all([text])[0]

    def close_all(self, texts: Sequence[str]) -> list[bytes]:
        """Seal texts, each by itself."""
        # Asking for random bytes takes as long as sealing, however many they are.
        drawn = iter_unpack(f"{_NONCE_BYTES}s", os.urandom(_NONCE_BYTES * len(texts)))
        encrypt = self._cipher.encrypt
        return [
            nonce + encrypt(nonce, text.encode(), None)
            for (nonce,), text in zip(drawn, texts, strict=True)
        ]

    def open(self, sealed: bytes, *, where: str) -> str:
        """Open what :meth:`close` sealed.

        :raises PermanentError: when it is damaged, or another secret sealed it.
        """
        return self._opened(sealed, where).decode()

    def close_block(self, texts: Sequence[bytes]) -> bytes:
        """Compress and seal texts, in UTF-8 and without line breaks."""
        nonce = os.urandom(_NONCE_BYTES)
        packed = zlib.compress(b"\n".join(texts), _LEVEL)
        return nonce + self._cipher.encrypt(nonce, packed, None)

    def open_block(self, sealed: bytes, *, where: str) -> list[str]:
        """Open what :meth:`close_block` sealed.

        :raises PermanentError: when it is damaged, or another secret sealed it.
        """
        return zlib.decompress(self._opened(sealed, where)).decode().split("\n")

    def _opened(self, sealed: bytes, where: str) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except (InvalidTag, ValueError) as error:
            raise PermanentError(
                where,
                should="open with the secret of its sync",
                but="it is damaged, or another secret sealed it",
                do="Restore the sync's secret, or reset the snapshot: everything is sent again.",
            ) from error


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(purpose, digest_size=32, key=secret).digest()

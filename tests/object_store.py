"""An object store in memory that can do what S3 can, and no more.

There are no folders, nothing is renamed or appended to, and an object is there, whole, once its
writer is closed.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, NoReturn

from fsspec import AbstractFileSystem


class _Put(BytesIO):
    """An object on its way."""

    def __init__(self, store: dict[str, bytes], key: str) -> None:
        super().__init__()
        self._store = store
        self._key = key

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._store[self._key] = self.getvalue()
        self.close()


class ObjectStore(AbstractFileSystem):
    """One of them, empty when it is made."""

    protocol = "memory"
    cachable = False  # codespell:ignore

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        key = self._strip_protocol(path)
        if mode == "wb":
            return _Put(self.objects, key)
        if mode != "rb":
            raise NotImplementedError(mode)
        if key not in self.objects:
            raise FileNotFoundError(key)
        return BytesIO(self.objects[key])

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List what begins with a path; nothing is there where nothing does."""
        prefix = self._strip_protocol(path).rstrip("/") + "/"
        rests = {key.removeprefix(prefix) for key in self.objects if key.startswith(prefix)}
        if not rests:
            raise FileNotFoundError(path)
        names = sorted({prefix + rest.partition("/")[0] for rest in rests})
        return [{"name": name, "size": None, "type": "file"} for name in names] if detail else names

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing: there are no folders."""

    def rm_file(self, path: str) -> None:
        """Delete an object; one that is gone already is no error."""
        self.objects.pop(self._strip_protocol(path), None)

    def _refused(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError

    mv = cp_file = touch = _refused

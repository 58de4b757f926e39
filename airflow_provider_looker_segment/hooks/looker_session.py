"""The HTTP session under the SDK, which keeps what the SDK throws away.

The SDK's errors carry neither status nor headers, and of a broken connection only its text.
"""

from __future__ import annotations

from typing import Any

import requests


class RememberingSession(requests.Session):
    """Keeps what became of the last request.

    :ivar url: where it went; empty before the first.
    :ivar answer: its answer; ``None`` where none came in full.
    :ivar trouble: what broke it; ``None`` where nothing did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forget()

    def forget(self) -> None:
        """Begin anew, so that nothing is taken for the answer of a request that never left."""
        self.url = ""
        self.answer: requests.Response | None = None
        self.trouble: OSError | None = None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request as ever."""
        self.forget()
        self.url = str(request.url)
        try:
            self.answer = super().send(request, **kwargs)
        except requests.TooManyRedirects as error:
            self.answer = error.response
            raise
        except OSError as error:
            self.trouble = error
            raise
        return self.answer

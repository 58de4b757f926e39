"""Alternative (b) to identify: Segment's own client, one request for each message."""

import json
from pathlib import Path

from segment.analytics import Client


def identify(messages: Path, write_key: str, host: str) -> None:
    """Send a file of messages, one JSON object per line."""
    client = Client(write_key, host=host, sync_mode=True)
    with messages.open() as lines:
        for line in lines:
            message = json.loads(line)
            client.identify(message["userId"], message["traits"])

"""Alternative (a) to extract: what the SDK offers, and the standard library's parser."""

import json
from typing import Any


def extract(sdk: Any) -> list[dict[str, Any]]:
    """Return the rows of Look 1."""
    return json.loads(sdk.run_look("1", "json_detail", limit=-1, cache=False))["data"]

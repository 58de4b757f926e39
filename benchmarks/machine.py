"""Where figures come from: the code, the machine and the moment; no path and no host name."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import ROOT

PACKAGES = (
    "airflow-provider-looker-segment",
    "apache-airflow",
    "looker-sdk",
    "segment-analytics-python",
    "cryptography",
)


def commit() -> str | None:
    """Return the commit that was checked out; ``None`` where there is no repository.

    "and changes" follows where files of the benchmarks or of the package differ from it.
    """
    if not (ROOT / ".git").exists():
        return None
    found = _git("rev-parse", "HEAD")
    if found is None:
        return None
    differ = _git("status", "--porcelain", "--untracked-files=no")
    return f"{found} and changes" if differ else found


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside the code."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "processor": next(models, platform.machine()),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions that matter."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def load() -> float:
    """Return how many programs wanted to run in the last minute, those measured included."""
    return round(os.getloadavg()[0], 2)

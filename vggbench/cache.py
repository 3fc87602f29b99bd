"""Where what can be made or fetched again is kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$VGGBENCH_CACHE, or the user's cache folder for vggbench."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("VGGBENCH_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("vggbench")

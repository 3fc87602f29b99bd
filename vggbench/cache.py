"""Where what can be made or fetched again is kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$VGGBENCH_CACHE, or the user's cache folder for vggbench."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("VGGBENCH_CACHE")
    return at_home(chosen) if chosen else user_cache_path("vggbench")


def at_home(text: str) -> Path:
    """A path, in which `~` is the user's home folder where there is one."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # of nobody's home, as of a container's user without a name
        return Path(text)

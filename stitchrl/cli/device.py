"""What the command line sets before JAX starts: a cache of compiled programs, so a second start compiles none."""

import os
import tempfile
from pathlib import Path


def prepare() -> None:
    """Point JAX at a cache folder: $JAX_COMPILATION_CACHE_DIR, else the user's cache. Without one, go on without."""
    import jax

    if os.environ.get('JAX_COMPILATION_CACHE_DIR') is None:
        folder = cache_folder()
        if folder is None:
            return
        jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def cache_folder() -> Path | None:
    """A folder of our own that can be written: below $XDG_CACHE_HOME or ~/.cache."""
    try:
        base = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
        folder = base / 'stitchrl' / 'compiled'
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # no home, or none that can be written
        return None

"""What the command line sets before JAX starts: a cache of compiled programs, so that a second start compiles nothing."""

import os
import tempfile
from pathlib import Path


def prepare() -> None:
    """Point JAX at a cache folder: $JAX_COMPILATION_CACHE_DIR, else the user's cache. Without one, go on without."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        folder = cache_folder()
        if folder is None:
            return
        jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def cache_folder() -> Path | None:
    """A folder of our own that can be written: below $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    folder = Path(base) / 'stitchrl' / 'compiled'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None

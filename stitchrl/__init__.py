"""stitchrl turns experience into behaviour: offline RL in JAX, from a recording to a judged policy."""

from importlib import import_module
from typing import Any

__version__ = '0.1.0'

_PUBLIC = {
    'Dataset': 'stitchrl.data.dataset',
    'Policy': 'stitchrl.runs.policy',
    'Run': 'stitchrl.api',
    'load': 'stitchrl.api',
    'load_policy': 'stitchrl.api',
    'on_disk': 'stitchrl.api',
    'train': 'stitchrl.api',
    'training': 'stitchrl.api',
}
__all__ = list(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import stitchrl` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f'module stitchrl has no attribute {name!r}')
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """What `__getattr__` would import as well, so that a prompt completes it."""
    return sorted({*globals(), *_PUBLIC})

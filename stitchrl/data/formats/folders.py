"""Folders as recordings: which file belongs to it, and the JSON beside it. Imports no JAX."""

import json
from pathlib import Path
from typing import Any

from stitchrl.data.formats.convert import reading
from stitchrl.errors import BadData

MAX_JSON = 2**24


def inside(folder: Path, file: Path) -> Path:
    """`file`; BadData where it is a link to somewhere outside of the folder."""
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BadData(f'{file}: is a link out of {folder}, which is not followed. Fix: copy the file itself into it')
    return file


def plain_json(path: Path) -> dict[str, Any]:
    """An object of plain JSON, {} where there is no file: nothing it names is built or imported."""
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_JSON:
        raise BadData(f'{path}: more than {MAX_JSON:,} bytes of JSON. Fix: take out what is not about the data')
    with reading(path, 'JSON'):
        tree = json.loads(path.read_text(encoding='utf-8'))
    if not isinstance(tree, dict):
        raise BadData(f'{path}: holds {type(tree).__name__}, expected an object. Fix: copy it again')
    return tree

"""Parquet tables, one row per step. Needs the extra `tables`; imports no JAX.

With D4RL's names (a column of lists for observations, say) nothing has to be chosen; that is also how `write` leaves
a recording, with the shape of images and the bounds of actions in the schema's metadata. Other tables: `Choice`.
What the footer declares is compared with the file and with the pages before a page is unpacked.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stitchrl.data.columns import Columns
from stitchrl.data.formats import arrow, pages, tables
from stitchrl.data.formats.choice import Choice
from stitchrl.data.formats.convert import NAMES, assemble, choose, convert, guard_size, human, reading
from stitchrl.data.formats.npz import BOUNDS, arrays_of
from stitchrl.errors import BadData

CHOICES = tables.ROLES
MAX_FOOTER = 2**22
KEYS = (b'stitchrl', b'stitchrl, again')  # of the schema's metadata; twice, because a footer has no checksum
ROWS = 2**16  # of a group, as written


def read(path: Path, choice: Choice) -> Columns:
    """The columns of a Parquet file, by D4RL's names or as chosen. BadData for what cannot be used, UsageError for a
    choice that does not fit.
    """
    with opened(path) as file:
        names = file.schema_arrow.names
        if not choice.given() and (metadata(file) or has_names(names)):
            return plain(path, file)
        chosen = tables.select(path, names, choice)
        arrays, notes = chosen_arrays(path, file, chosen)
    return tables.columns(arrays, [*tables.notes_of(chosen), *notes])


def has_names(names: Sequence[str]) -> bool:
    """Whether a table has observations and actions under names of D4RL."""
    return all(any(name in names for name in NAMES[field]) for field in ('obs', 'action'))


def plain(path: Path, file: pq.ParquetFile) -> Columns:
    """Columns of a table with D4RL's names."""
    found = file.schema_arrow.names
    names, notes = choose(path, found.__contains__, found)
    about = metadata(file)
    raw = load(path, file, list(names.values()))
    for name, shape in about.get('shapes', {}).items():
        raw[name] = raw[name].reshape(len(raw[name]), *shape)
    if about and about.get('sha256') != digest(raw, about):
        fix = 'copy it again; if it was changed on purpose, take the metadata stitchrl out of its schema'
        raise BadData(f'{path}: holds other columns than were written. Fix: {fix}')
    columns = {field: convert(path, field, name, raw[name], notes) for field, name in names.items()}
    for field, name in zip(('low', 'high'), BOUNDS, strict=True):
        if name in about:
            columns[field] = np.asarray(about[name], np.float32)
    return assemble(columns, names, notes)


def chosen_arrays(path: Path, file: pq.ParquetFile, chosen: tables.Chosen) -> tuple[dict[str, np.ndarray], list[str]]:
    """(field -> rows, notes)."""
    raw = load(path, file, list(dict.fromkeys(name for part in chosen.values() for name in part)))
    arrays, notes = {}, []
    for field, names in chosen.items():
        x = raw[names[0]] if len(names) == 1 else np.concatenate([flat(raw[name]) for name in names], axis=1)
        arrays[field] = convert(path, field, names[0], x, notes)
    return arrays, notes


def flat(x: np.ndarray) -> np.ndarray:
    """[N, width] float32."""
    return x.reshape(len(x), -1).astype(np.float32)


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file whose footer has a believable length; whatever goes wrong in the block becomes BadData."""
    with reading(path, 'Parquet', pa.ArrowException, struct.error):
        with path.open('rb') as file:
            pages.footer(tail(path, file))
        with pq.ParquetFile(path, page_checksum_verification=True) as source:
            yield source


def tail(path: Path, file: BinaryIO) -> bytes:
    """The footer, if it has a believable length."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    end = file.read(8)
    if end[4:] != b'PAR1':
        raise ValueError('it does not end as a Parquet file')
    (length,) = struct.unpack('<I', end[:4])
    if length > min(size - 12, MAX_FOOTER):
        what = f'a footer of {human(length)} in a file of {human(size)}, at most {human(MAX_FOOTER)} are read'
        raise BadData(f'{path}: {what}. Fix: copy it again; write a large table as several files')
    file.seek(size - 8 - length)
    return file.read(length)


def load(path: Path, file: pq.ParquetFile, names: list[str]) -> dict[str, np.ndarray]:
    """The columns called `names`, [N] or [N, width]."""
    found = table(path, file, names)
    return {name: arrow.array(path, name, found[name].combine_chunks()) for name in names}


def table(path: Path, file: pq.ParquetFile, names: list[str]) -> pa.Table:
    """The columns called `names`; their sizes are checked before the first page is unpacked."""
    schema = file.schema_arrow
    rows = guard(path, schema, {name: arrow.width(path, name, schema.field(name).type) for name in names})
    found = file.read(columns=names, use_threads=False)
    if found.num_rows != rows:
        raise ValueError(f'{found.num_rows} rows, but its footer says {rows}')
    found.validate(full=True)  # offsets and lengths in the file are not taken on trust
    return found


def guard(path: Path, schema: pa.Schema, widths: dict[str, int]) -> int:
    """Rows. Refuses columns that would not fit, by the footer's rows or by what their pages say; `widths`: of a row."""
    owners = [field.name for field in schema for _ in range(leaves(field.type))]
    taken, count, end = dict.fromkeys(widths, 0), 0, path.stat().st_size - 8
    with path.open('rb') as source:
        rows, groups = pages.footer(tail(path, source))
        if any(len(group) != len(owners) for group in groups):
            raise ValueError('its schema does not fit its footer')
        parts = [(name, chunk) for group in groups for name, chunk in zip(owners, group, strict=True) if name in widths]
        for name, (start, length, width) in parts:
            if start < 4 or length < 0 or start + length > end:
                raise ValueError(f'{name} lies outside of the file')
            for size, values in pages.sizes(source, start, length):
                taken[name] += max(size, values * width)
                count += 1
                if count > pages.MAX_PAGES:
                    raise BadData(f'{path}: more than {pages.MAX_PAGES:,} pages. Fix: write larger pages, or files')
    guard_size(path, {name: ((rows,), max(rows * width, taken[name])) for name, width in widths.items()})
    return rows


def leaves(kind: pa.DataType) -> int:
    """Of how many columns of numbers a type is made."""
    return sum(leaves(kind.field(i).type) for i in range(kind.num_fields)) if kind.num_fields else 1


def metadata(file: pq.ParquetFile) -> dict[str, Any]:
    """What `write` said of shapes and bounds; {} where another program wrote the file."""
    said = [file.schema_arrow.metadata or {}, file.metadata.metadata or {}]  # a footer has the schema twice
    texts = {found.get(key) for found in said for key in KEYS}
    if texts == {None}:
        return {}
    tree = json.loads(texts.pop() or b'') if len(texts) == 1 else None
    shapes = tree.get('shapes', {}) if isinstance(tree, dict) else None
    if not isinstance(tree, dict) or not isinstance(shapes, dict) or not all(map(is_shape, shapes.values())):
        raise ValueError('its schema is damaged, or says shapes that are none')
    return tree


def is_shape(x: object) -> bool:
    """Whether this is the shape of a row."""
    return isinstance(x, list) and len(x) < 8 and all(isinstance(n, int) and n > 0 for n in x)


def write(path: Path, columns: Columns) -> None:
    """A Parquet file that `read` makes the same columns of. Packed so that a reader's limits are never met."""
    arrays = {name: x for name, x in arrays_of(columns).items() if name not in BOUNDS}
    about = {name: list(x) for name, x in zip(BOUNDS, (columns.low, columns.high), strict=True) if x is not None}
    shapes = {name: list(x.shape[1:]) for name, x in arrays.items() if x.ndim > 2}
    text = json.dumps(about | {'shapes': shapes, 'sha256': digest(arrays, about)})
    made = pa.table({name: column(x) for name, x in arrays.items()}).replace_schema_metadata(dict.fromkeys(KEYS, text))
    options = {'compression': 'snappy', 'use_dictionary': False, 'write_statistics': False, 'write_page_checksum': True}
    with path.open('wb') as out:
        pq.write_table(made, out, row_group_size=ROWS, **options)
        out.flush()
        os.fsync(out.fileno())


def digest(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> str:
    """sha256, hex, of columns and of the bounds in `about`."""
    found = hashlib.sha256(json.dumps([about.get(name) for name in BOUNDS]).encode())
    for name, x in sorted(arrays.items()):
        found.update(f'{name} {x.dtype.str} {x.shape};'.encode())
        found.update(np.ascontiguousarray(x).tobytes())
    return found.hexdigest()


def column(x: np.ndarray) -> pa.Array:
    """[N] as numbers, [N, ...] as lists of equally many."""
    if x.ndim == 1:
        return pa.array(x)
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), int(np.prod(x.shape[1:])))

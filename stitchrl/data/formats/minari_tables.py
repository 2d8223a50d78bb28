"""Minari's Arrow and Parquet layouts: a folder per episode with one table of T + 1 rows. Needs the extra `tables`.

The last row has an observation and zeros: everything else in it is left out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from stitchrl.data.formats.convert import guard_dtype, guard_size, human, missing, reading
from stitchrl.data.formats.trajectories import FIELDS, Box, Episode, natural
from stitchrl.errors import BadData

MAX_DEPTH = 3  # of Dict observations
MAX_BYTES = 2**35  # of all files together


def read(folder: Path, box: Box | None) -> dict[str, Episode]:
    """Episodes by the name of their folder, in the order of their numbers; `box` gives images their shape.

    Raises BadData for what cannot be used.
    """
    files = {place.name: table_of(place) for place in sorted(folder.iterdir(), key=lambda place: natural(place.name))}
    files = {name: file for name, file in files.items() if file is not None}
    if (total := sum(file.stat().st_size for file in files.values())) > MAX_BYTES:
        raise BadData(f'{folder}: {human(total)} of tables, at most {human(MAX_BYTES)} are read. Fix: save it in parts')
    episodes = {}
    for name, file in files.items():
        with reading(file, file.suffix[1:], pa.ArrowException):
            episodes[name] = episode(file, OPEN[file.suffix](file), box)
    return episodes


def table_of(place: Path) -> Path | None:
    """The table of an episode's folder; None where `place` is something else."""
    if not place.name.isdecimal() or not place.is_dir():
        return None
    files = sorted(file for file in place.iterdir() if file.suffix in OPEN)
    if len(files) != 1:
        raise BadData(f'{place}: {len(files)} tables, expected one per episode. Fix: copy the whole dataset again')
    return files[0]


def arrow(file: Path) -> Any:
    """The columns of an Arrow file as a table; the others stay unread."""
    with pa.OSFile(str(file)) as source:
        schema = pa.ipc.open_file(source).schema
        wanted = [i for i, name in enumerate(schema.names) if name in FIELDS.values()]
        return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted)).read_all()


def parquet(file: Path) -> Any:
    """The columns of a Parquet file as a table, if they fit by what its footer says."""
    with ParquetFile(file) as source:
        rows, schema = source.metadata.num_rows, source.schema_arrow
        names = [name for name in FIELDS.values() if name in schema.names]
        sizes = {name: ((rows,), rows * width(schema.field(name).type)) for name in names}
        guard_size(file, sizes)
        return source.read(columns=names)


OPEN: dict[str, Callable[[Path], Any]] = {'.arrow': arrow, '.parquet': parquet}


def width(kind: Any) -> int:
    """Bytes of one row of an Arrow type."""
    if isinstance(kind, pa.FixedSizeListType):
        return kind.list_size * width(kind.value_type)
    if kind.num_fields:
        return sum(width(kind.field(i).type) for i in range(kind.num_fields))
    return kind.bit_width // 8 or 1


def episode(file: Path, table: Any, box: Box | None) -> Episode:
    """The columns of one episode as numpy arrays: T + 1 observations, T of all else."""
    table.validate(full=True)  # offsets and lengths in the file are not taken on trust
    found = {}
    for field, name in FIELDS.items():
        if name not in table.column_names:
            raise missing(file, name, table.column_names)
        column = table[name].combine_chunks()
        if field == 'obs':
            found |= parts(file, name, column, 0)
        else:
            found[name] = array(file, name, column)[:-1]
    whole = found.get(FIELDS['obs'])
    if box is not None and whole is not None and whole.shape[1:] == (int(np.prod(box.shape)),):
        found[FIELDS['obs']] = whole.reshape(-1, *box.shape)
    return found


def parts(file: Path, name: str, column: Any, depth: int) -> Episode:
    """The array of a column, or those of its parts where it is a struct, by their place."""
    if not isinstance(column.type, pa.StructType):
        return {name: array(file, name, column)}
    if depth == MAX_DEPTH or column.null_count:
        raise BadData(f'{file}: {name} is nested too deep or has empty rows. Fix: save one array')
    names = [column.type.field(i).name for i in range(column.type.num_fields)]
    children = sorted(zip(names, column.flatten(), strict=True), key=lambda child: natural(child[0]))
    found = [parts(file, f'{name}/{child}', x, depth + 1) for child, x in children]
    return {place: x for below in found for place, x in below.items()}


def array(file: Path, name: str, column: Any) -> np.ndarray:
    """A column of numbers, or of rows of equally many numbers, as [N] or [N, width]."""
    size = column.type.list_size if isinstance(column.type, pa.FixedSizeListType) else None
    values = column if size is None else column.flatten()
    for empty, rows in ((column.is_null(), 1), (values.is_null(), size or 1)):
        if len(bad := np.flatnonzero(empty)):
            raise BadData(f'{file}: {name}, row {bad[0] // rows}: empty. Fix: record a value for every step')
    try:
        dtype = np.dtype(values.type.to_pandas_dtype())
    except NotImplementedError:
        dtype = np.dtype(object)
    guard_dtype(file, name, dtype)
    x = values.to_numpy(zero_copy_only=False)
    return x if size is None else x.reshape(len(column), size)

"""Minari's Arrow and Parquet layouts: a folder per episode with one table of T + 1 rows. Needs the extra `tables`.

The last row has an observation and zeros: everything else in it is left out.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetFile

from stitchrl.data.formats.convert import guard_size, human, missing, reading
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


def arrow(file: Path) -> pa.Table:
    """The columns of an Arrow file; the others stay unread."""
    with pa.OSFile(str(file)) as source:
        schema = pa.ipc.open_file(source).schema
        wanted = [i for i, field in enumerate(schema) if field.name in FIELDS.values()]
        for i in wanted:
            width(file, schema[i].name, schema[i].type)
        return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted)).read_all()


def parquet(file: Path) -> pa.Table:
    """The columns of a Parquet file, if they fit by what its footer says."""
    with ParquetFile(file) as source:
        rows, fields = source.metadata.num_rows, [x for x in source.schema_arrow if x.name in FIELDS.values()]
        guard_size(file, {x.name: ((rows,), rows * width(file, x.name, x.type)) for x in fields})
        return source.read(columns=[x.name for x in fields])


OPEN: dict[str, Callable[[Path], pa.Table]] = {'.arrow': arrow, '.parquet': parquet}


def width(file: Path, name: str, kind: pa.DataType) -> int:
    """Bytes of one row of an Arrow type; BadData for what is not made of plain numbers."""
    if isinstance(kind, pa.FixedSizeListType):
        return kind.list_size * width(file, name, kind.value_type)
    if isinstance(kind, pa.StructType):
        return sum(width(file, f'{name}/{kind.field(i).name}', kind.field(i).type) for i in range(kind.num_fields))
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        fix = 'save numbers, every row as many; images with jpeg_encoding=False'
        raise BadData(f'{file}: {name} holds {kind}, expected plain numbers. Fix: {fix}')
    return max(1, kind.bit_width // 8)


def episode(file: Path, table: pa.Table, box: Box | None) -> Episode:
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


def parts(file: Path, name: str, column: pa.Array, depth: int) -> Episode:
    """The array of a column, or those of its parts where it is a struct, by their place."""
    if not isinstance(column.type, pa.StructType):
        return {name: array(file, name, column)}
    if depth == MAX_DEPTH or column.null_count:
        raise BadData(f'{file}: {name} is nested too deep or has empty rows. Fix: save one array')
    names = [column.type.field(i).name for i in range(column.type.num_fields)]
    children = sorted(zip(names, column.flatten(), strict=True), key=lambda child: natural(child[0]))
    found = [parts(file, f'{name}/{child}', x, depth + 1) for child, x in children]
    return {place: x for below in found for place, x in below.items()}


def array(file: Path, name: str, column: pa.Array) -> np.ndarray:
    """A column of numbers, or of rows of equally many numbers, as [N] or [N, width]."""
    size = column.type.list_size if isinstance(column.type, pa.FixedSizeListType) else None
    values = column if size is None else column.flatten()
    for empty, rows in ((column.is_null(), 1), (values.is_null(), size or 1)):
        if len(bad := np.flatnonzero(empty)):
            raise BadData(f'{file}: {name}, row {bad[0] // rows}: empty. Fix: record a value for every step')
    x = values.to_numpy(zero_copy_only=False)
    return x if size is None else x.reshape(len(column), size)

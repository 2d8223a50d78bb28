"""Minari's Arrow and Parquet layouts: a folder per episode with one table of T + 1 rows. Needs the extra `tables`.

The last row has an observation and zeros: everything else in it is left out.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from stitchrl.data.formats import arrow, parquet
from stitchrl.data.formats.convert import human, missing, reading
from stitchrl.data.formats.folders import inside
from stitchrl.data.formats.trajectories import FIELDS, Box, Episode, natural
from stitchrl.errors import BadData

MAX_DEPTH = 3  # of Dict observations
MAX_BYTES = 2**35  # of all files together


def read(folder: Path, box: Box | None) -> dict[str, Episode]:
    """Episodes by the name of their folder, in the order of their numbers; `box` gives images their shape.

    Raises BadData for what cannot be used.
    """
    files = {place.name: table_of(folder, place) for place in places(folder)}
    if (total := sum(file.stat().st_size for file in files.values())) > MAX_BYTES:
        raise BadData(f'{folder}: {human(total)} of tables, at most {human(MAX_BYTES)} are read. Fix: save it in parts')
    episodes = {}
    for name, file in files.items():
        with reading(file, file.suffix[1:], pa.ArrowException):
            episodes[name] = episode(file, OPEN[file.suffix](file), box)
    return episodes


def places(folder: Path) -> list[Path]:
    """The folders of episodes, in the order of their numbers."""
    found = (place for place in folder.iterdir() if place.name.isdecimal() and place.is_dir())
    return sorted(found, key=lambda place: natural(place.name))


def table_of(folder: Path, place: Path) -> Path:
    """The table of an episode's folder."""
    files = sorted(file for file in place.iterdir() if file.suffix in OPEN)
    if len(files) != 1:
        raise BadData(f'{place}: {len(files)} tables, expected one per episode. Fix: copy the whole dataset again')
    return inside(folder, files[0])


def from_arrow(file: Path) -> pa.Table:
    """The columns of an Arrow file; the others stay unread."""
    return arrow.read(file, list(FIELDS.values()))


def from_parquet(file: Path) -> pa.Table:
    """The columns of a Parquet file, if they fit by what its footer and its pages say."""
    with parquet.opened(file) as source:
        return parquet.table(file, source, [name for name in source.schema_arrow.names if name in FIELDS.values()])


OPEN: dict[str, Callable[[Path], pa.Table]] = {'.arrow': from_arrow, '.parquet': from_parquet}


def episode(file: Path, table: pa.Table, box: Box | None) -> Episode:
    """The columns of one episode as numpy arrays: T + 1 observations, T of all else."""
    found = {}
    for field, name in FIELDS.items():
        if name not in table.column_names:
            raise missing(file, name, table.column_names)
        column = table[name].combine_chunks()
        if field == 'obs':
            found |= parts(file, name, column, 0)
        else:
            found[name] = arrow.array(file, name, column)[:-1]
    whole = found.get(FIELDS['obs'])
    if box is not None and whole is not None and whole.shape[1:] == (int(np.prod(box.shape)),):
        found[FIELDS['obs']] = whole.reshape(-1, *box.shape)
    return found


def parts(file: Path, name: str, column: pa.Array, depth: int) -> Episode:
    """The array of a column, or those of its parts where it is a struct, by their place."""
    if not isinstance(column.type, pa.StructType):
        return {name: arrow.array(file, name, column)}
    if depth == MAX_DEPTH or column.null_count:
        raise BadData(f'{file}: {name} is nested too deep or has empty rows. Fix: save one array')
    names = [column.type.field(i).name for i in range(column.type.num_fields)]
    children = sorted(zip(names, column.flatten(), strict=True), key=lambda child: natural(child[0]))
    found = [parts(file, f'{name}/{child}', x, depth + 1) for child, x in children]
    return {place: x for below in found for place, x in below.items()}

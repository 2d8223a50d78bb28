"""Arrow: files of record batches, and their columns as numpy arrays. Needs the extra `tables`; imports no JAX.

Batches are taken one after another from the front, and the end must agree with them; what their buffers unpack to is
added up before each is unpacked.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from stitchrl.data.formats import tables
from stitchrl.data.formats.convert import guard_size, reading
from stitchrl.errors import BadData

LISTS = (pa.ListType, pa.LargeListType)
MAGIC = b'ARROW1\0\0'
HEADER, BUFFERS, COMPRESSION = 2, 2, 3  # field numbers in the tables Message and RecordBatch of Arrow's Message.fbs


def read(path: Path, names: list[str]) -> pa.Table:
    """The columns called `names` that are there; BadData for what is damaged, too large or no plain numbers."""
    with reading(path, 'Arrow', pa.ArrowException, struct.error), pa.OSFile(str(path)) as source:
        with pa.ipc.open_file(source) as whole:
            schema, count = whole.schema, whole.num_record_batches
        found = [name for name in schema.names if name in names]
        for name in found:
            width(path, name, schema.field(name).type)
        source.seek(len(MAGIC))
        messages = pa.ipc.MessageReader.open_stream(source)
        first = next(iter(messages), None)
        if first is None or first.type != 'schema':  # not read: the one at the end counts, this one can crash pyarrow
            raise ValueError('it does not begin with a schema')
        batches = [pa.ipc.read_record_batch(message, schema).select(found) for message in guarded(path, messages)]
        if len(batches) != count:
            raise ValueError(f'{len(batches)} batches, but its end says {count}')
        table = pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in found]))
        table.validate(full=True)  # offsets and lengths in the file are not taken on trust
        return table


def guarded(path: Path, messages: Iterator[pa.ipc.Message]) -> Iterator[pa.ipc.Message]:
    """The record batches, up to the end of the stream; BadData where they would unpack to too much."""
    total = 0
    for message in messages:
        if message.type != 'record batch':
            raise BadData(f'{path}: holds a {message.type}, expected rows of plain numbers. Fix: save plain numbers')
        total += unpacked(message)
        guard_size(path, {'a batch': ((), total)})
        yield message


def unpacked(message: pa.ipc.Message) -> int:
    """Bytes that the buffers of a batch take."""
    data, body = message.metadata.to_pybytes(), memoryview(message.body)
    batch = pointed(data, field(data, pointed(data, 0), HEADER))
    packed, places = field(data, batch, COMPRESSION), pointed(data, field(data, batch, BUFFERS))
    total, (count,) = 0, struct.unpack_from('<I', data, places)
    for at, length in struct.iter_unpack('<qq', data[places + 4 : places + 4 + 16 * count]):
        own = struct.unpack_from('<q', body, at)[0] if packed and length else -1  # -1: this one is not packed
        total += length if own < 0 else own
    return total


def field(data: bytes, table: int, number: int) -> int:
    """Where the field of a FlatBuffers table lies; 0 where it has none of that number."""
    (back,) = struct.unpack_from('<i', data, table)
    (size,) = struct.unpack_from('<H', data, table - back)
    place = 4 + 2 * number
    (offset,) = struct.unpack_from('<H', data, table - back + place) if place < size else (0,)
    return table + offset if offset else 0


def pointed(data: bytes, at: int) -> int:
    """Where the offset at `at` leads to."""
    return at + struct.unpack_from('<I', data, at)[0]


def width(file: Path, name: str, kind: pa.DataType) -> int:
    """Bytes of one row of an Arrow type, of one number where each row says its length; BadData for what is not made of
    plain numbers.
    """
    if isinstance(kind, pa.FixedSizeListType):
        return kind.list_size * width(file, name, kind.value_type)
    if isinstance(kind, LISTS):
        return width(file, name, kind.value_type)
    if isinstance(kind, pa.StructType):
        return sum(width(file, f'{name}/{kind.field(i).name}', kind.field(i).type) for i in range(kind.num_fields))
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        fix = 'save numbers, every row as many; images with jpeg_encoding=False'
        raise BadData(f'{file}: {name} holds {kind}, expected plain numbers. Fix: {fix}')
    return max(1, kind.bit_width // 8)


def array(file: Path, name: str, column: pa.Array) -> np.ndarray:
    """A column of numbers, or of rows of equally many numbers, as [N] or [N, width]."""
    size = size_of(file, name, column)
    values = column if size is None else column.flatten()
    for empty, rows in ((column.is_null(), 1), (values.is_null(), size or 1)):
        if len(bad := np.flatnonzero(empty)):
            raise tables.not_a_number(file, name, int(bad[0]) // rows, None)
    if values.type.num_fields:
        raise BadData(f'{file}: {name} holds {column.type}, lists of lists. Fix: save one list of numbers per row')
    x = values.to_numpy(zero_copy_only=False)
    return x if size is None else x.reshape(len(column), size)


def size_of(file: Path, name: str, column: pa.Array) -> int | None:
    """How many numbers a row has; None where it is a number and no list."""
    if isinstance(column.type, pa.FixedSizeListType):
        return column.type.list_size
    if not isinstance(column.type, LISTS):
        return None
    lengths = np.diff(column.offsets.to_numpy())
    if len(bad := np.flatnonzero(lengths != lengths[:1])):
        what = f'{lengths[bad[0]]} numbers, but the first row has {lengths[0]}'
        raise BadData(f'{file}: {name}, row {bad[0]:,}: {what}. Fix: save equally many in each row')
    return int(lengths[0]) if len(lengths) else 1

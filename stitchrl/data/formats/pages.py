"""Parquet's footer and page headers, read without unpacking a page: where columns lie and what they will take.

A reader allocates what a page header declares before it unpacks the page, and Arrow ends the process on some footers
that make no sense, so both are looked at first. They are written in Thrift's compact protocol:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

MAX_HEADER = 2**14  # bytes; statistics of numbers are short
MAX_PAGES = 10**5  # of one file
MAX_DEPTH = 8
UNPACKED, PACKED, VALUES = 2, 3, {5: 1, 7: 1, 8: 1}  # field numbers; of each kind of page: where its count is
ROWS, GROUPS, COLUMNS, META, DATA, DICTIONARY, LENGTH, TYPE = 3, 4, 1, 3, 9, 11, 7, 1  # field numbers of the footer
TEXT = type(None)  # as which text is read here
KINDS = {1: int, 2: list, 3: int, 4: list, 5: list, 6: TEXT, 7: list, 8: dict, 9: TEXT}  # of the footer's fields
BYTES = {0: 1, 1: 4, 4: 4}  # of one value of a type; of all other types 8


class Chunk(NamedTuple):
    """A part of a column: where it lies, how long it is, bytes of one value."""

    start: int
    length: int
    width: int


def footer(buffer: bytes) -> tuple[int, list[list[Chunk]]]:
    """(rows, the parts of all columns for each group of rows). ValueError for a footer that makes no sense."""
    tree, end = struct_of(buffer, 0)
    odd = [number for number, x in tree.items() if not isinstance(x, KINDS.get(number, ()))]
    if end != len(buffer) or odd:
        raise ValueError(f'its footer has a field {odd[0]} of its own' if odd else 'its footer goes on behind its end')
    groups = inner(tree, list, GROUPS) if GROUPS in tree else []
    chunks = [[chunk_of(inner(x, dict, META)) for x in inner(group, list, COLUMNS)] for group in groups]
    rows = [inner(group, int, ROWS) for group in groups]
    if len({len(group) for group in chunks}) > 1 or min(rows, default=0) < 0 or sum(rows) != inner(tree, int, ROWS):
        raise ValueError('the groups of rows in its footer do not fit together')
    return sum(rows), chunks


def chunk_of(meta: dict[int, Any]) -> Chunk:
    """A part of a column by its metadata."""
    start, length, kind = (inner(meta, int, number) for number in (DATA, LENGTH, TYPE))
    first = inner(meta, int, DICTIONARY) if meta.get(DICTIONARY) else start
    return Chunk(min(start, first), length, BYTES.get(kind, 8))


def inner(tree: Any, kind: type, number: int) -> Any:
    """A field of a struct; ValueError where it is not there or of another kind."""
    found = tree.get(number) if isinstance(tree, dict) else None
    if not isinstance(found, kind):
        raise ValueError(f'its footer or a page header lacks field {number}')
    return found


def sizes(file: BinaryIO, start: int, length: int) -> Iterator[tuple[int, int]]:
    """(bytes unpacked, values) of each page of a column that lies at `start` and is `length` long. ValueError for
    headers that cannot be true.
    """
    at, end = start, start + length
    while at < end:
        file.seek(at)
        buffer = file.read(min(MAX_HEADER, end - at))
        header, used = struct_of(buffer, 0)
        unpacked, packed = inner(header, int, UNPACKED), inner(header, int, PACKED)
        values = next((inner(header[kind], int, n) for kind, n in VALUES.items() if kind in header), 0)
        at += used + packed
        if min(unpacked, packed, values) < 0 or at > end:
            raise ValueError(f'a page at byte {at} does not fit in its column')
        yield unpacked, values


def struct_of(buffer: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """(field number -> value, where it ends) of a struct; what is not a number or a struct is passed over."""
    if depth > MAX_DEPTH:
        raise ValueError('a page header or footer is nested too deep')
    found: dict[int, Any] = {}
    number = 0
    while kind := _byte(buffer, at):
        at += 1
        if kind >> 4:
            number += kind >> 4
        else:
            number, at = _signed(buffer, at)
        found[number], at = _value(buffer, at, kind & 15, depth)
    return found, at + 1


def _value(buffer: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):  # true, false: the type is the value
        return kind == 1, at
    if kind == 3:
        return _byte(buffer, at), at + 1
    if kind in (4, 5, 6):
        return _signed(buffer, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        size, at = _varint(buffer, at)
        return None, at + size
    if kind in (9, 10):
        return _list(buffer, at, depth)
    if kind == 12:
        return struct_of(buffer, at, depth + 1)
    raise ValueError(f'a page header or footer has a field of kind {kind}')


def _list(buffer: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    head = _byte(buffer, at)
    size, at = _varint(buffer, at + 1) if head >> 4 == 15 else (head >> 4, at + 1)
    if size > len(buffer) - at:
        raise ValueError('a page header or footer has a list longer than itself')
    found = []
    for _ in range(size):
        x, at = _value(buffer, at, 3 if head & 15 in (1, 2) else head & 15, depth)
        found.append(x)
    return found, at


def _byte(buffer: bytes, at: int) -> int:
    if at >= len(buffer):
        raise ValueError('a page header or footer is cut off or too long')
    return buffer[at]


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(buffer, at)
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError('a number in a page header or footer has no end')


def _signed(buffer: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(buffer, at)
    return value >> 1 ^ -(value & 1), at

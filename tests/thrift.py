"""Just enough of Thrift's compact protocol to write Parquet files that lie."""

import struct


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def i(n):
    """An i32."""
    return 5, varint((n << 1) ^ (n >> 63))


def long(n):
    """An i64."""
    return 6, i(n)[1]


def text(words):
    return 8, varint(len(words)) + words.encode()


def struct_(fields):
    """{field number: value}, numbers rising."""
    out, last = bytearray(), 0
    for number, (kind, data) in fields.items():
        out += bytes([(number - last) << 4 | kind]) + data
        last = number
    return 12, bytes(out) + b'\0'


def list_(values):
    kind = values[0][0]
    return 9, bytes([min(len(values), 15) << 4 | kind]) + b''.join(data for _, data in values)


def page(packed, unpacked, values, kind=0):
    """A page header of plainly encoded values, or of a dictionary (kind 2)."""
    own = {0: {5: struct_({1: i(values), 2: i(0), 3: i(3), 4: i(3)})}, 2: {7: struct_({1: i(values), 2: i(0)})}}
    return struct_({1: i(kind), 2: i(unpacked), 3: i(packed)} | own[kind])[1]


def parquet(path, pages, rows, names=('observations', 'actions', 'rewards', 'terminals'), codec=0, **lies):
    """A file of float columns whose bytes are all `pages`, one after another. `lies`: of what the footer says."""
    said = {'offset': 4, 'size': len(pages), 'values': rows} | lies
    columns = []
    for name in names:
        meta = {1: i(4), 2: list_([i(0)]), 3: list_([text(name)]), 4: i(codec), 5: long(said['values'])}
        meta |= {6: long(said['size']), 7: long(said['size']), 9: long(said['offset'])}
        columns.append(struct_({2: long(4), 3: struct_(meta)}))
    leaves = [struct_({1: i(4), 3: i(0), 4: text(name)}) for name in names]
    schema = [struct_({4: text('schema'), 5: i(len(names))}), *leaves]
    group = struct_({1: list_(columns), 2: long(len(pages)), 3: long(rows)})
    footer = struct_({1: i(1), 2: list_(schema), 3: long(rows), 4: list_([group])})[1]
    path.write_bytes(b'PAR1' + pages + footer + struct.pack('<I', len(footer)) + b'PAR1')
    return path

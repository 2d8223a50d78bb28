"""Page headers: read as pyarrow writes them, and refused where they cannot be true."""

import contextlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import thrift
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.data.formats import pages, parquet


@pytest.mark.parametrize('codec', ['none', 'snappy', 'gzip', 'zstd'])
@pytest.mark.parametrize('version', ['1.0', '2.0'])
@pytest.mark.parametrize('dictionary', [True, False])
def test_pages_as_they_are_written(tmp_path, codec, version, dictionary):
    x = np.arange(5000) % 7
    options = {'compression': codec, 'data_page_version': version, 'use_dictionary': dictionary}
    pq.write_table(pa.table({'x': x}), tmp_path / 'x.parquet', data_page_size=1000, write_batch_size=100, **options)
    chunk = pq.ParquetFile(tmp_path / 'x.parquet').metadata.row_group(0).column(0)
    with (tmp_path / 'x.parquet').open('rb') as file:
        rows, (((start, length, width),),) = pages.footer(parquet.tail(tmp_path / 'x.parquet', file))
        found = list(pages.sizes(file, start, length))
    assert (rows, length, width) == (5000, chunk.total_compressed_size, 8)
    assert sum(values for _, values in found) == 5000 + 7 * dictionary
    assert len(found) > 1
    assert 0 <= chunk.total_uncompressed_size - sum(size for size, _ in found) < 200 * len(found)  # the headers


def sizes(data):
    return list(pages.sizes(io.BytesIO(data), 0, len(data)))


def test_what_is_read_of_a_page():
    data = thrift.page(3, 10**9, 77) + b'abc'
    assert sizes(data * 2) == [(10**9, 77)] * 2
    assert sizes(thrift.page(0, 5, 9, kind=2)) == [(5, 9)]


@pytest.mark.parametrize(
    'data',
    [
        thrift.page(4, 1, 1) + b'abc',  # longer than the column
        thrift.page(-1, 1, 1),
        thrift.page(3, -5, 1) + b'abc',
        thrift.page(3, 1, -1) + b'abc',
        thrift.page(3, 1, 1)[:5],
        b'\x15' + b'\xff' * 20,  # a number without end
        b'\x1c' * 20,  # structs in structs
        b'\x1b\x00',  # a map
        b'\x18\xff\xff\xff\x7f',  # text that is not there
        b'\0',
    ],
)
def test_headers_that_cannot_be_true(data):
    with pytest.raises(ValueError, match=r'page'):
        sizes(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        assert all(size >= 0 for size, _ in sizes(data))
    with contextlib.suppress(ValueError):
        assert pages.footer(data)[0] >= 0


def test_a_footer_with_any_flipped_bit_is_an_answer_or_a_value_error(tmp_path):
    data = np.arange(3, dtype=np.float32).tobytes()
    path = thrift.parquet(tmp_path / 'x.parquet', thrift.page(12, 12, 3) + data, 3)
    with path.open('rb') as file:
        whole = parquet.tail(path, file)
    assert pages.footer(whole)[0] == 3
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(ValueError):
            assert pages.footer(bytes(damaged))[0] >= 0

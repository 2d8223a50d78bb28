"""Parquet tables: D4RL's names or chosen columns, exact both ways, and footers and pages that lie."""

import contextlib

import layouts
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import thrift

from stitchrl.data.check import fingerprint
from stitchrl.data.columns import Columns
from stitchrl.data.formats import Choice, convert, pages, parquet, read
from stitchrl.errors import BadData, UsageError

N = 5


def table(**changes):
    """A table with D4RL's names; a change of None leaves the column out."""
    found = {
        'observations': layouts.column(np.arange(2 * N, dtype=np.float32).reshape(N, 2)),
        'actions': layouts.column(np.zeros((N, 1), np.float32)),
        'rewards': pa.array(np.arange(N, dtype=np.float32)),
        'terminals': pa.array(np.arange(N) == 2),
        'timeouts': pa.array(np.arange(N) == N - 1),
    } | changes
    return pa.table({name: x for name, x in found.items() if x is not None})


def written(tmp_path, made, **options):
    pq.write_table(made, tmp_path / 'x.parquet', **options)
    return tmp_path / 'x.parquet'


def refused(path, *words, error=BadData, **options):
    with pytest.raises(error) as caught:
        read(path, **options)
    assert '\n' not in str(caught.value)
    for word in (str(path), *words):
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize('options', [{}, {'compression': 'zstd', 'data_page_version': '2.0'}, {'row_group_size': 2}])
def test_names_of_d4rl(tmp_path, options):
    columns = read(written(tmp_path, table(), **options))
    np.testing.assert_array_equal(columns.obs, np.arange(2 * N).reshape(N, 2))
    np.testing.assert_array_equal(columns.reward, np.arange(N))
    np.testing.assert_array_equal(np.flatnonzero(columns.terminal), [2])
    assert columns.notes == ()


def test_chosen_columns(tmp_path):
    plain = pa.table({f'q{i}': np.arange(N) + i for i in range(3)} | {'u': np.ones(N), 'run': [4, 4, 5, 5, 5]})
    path = written(tmp_path, plain)
    columns = read(path, choice=Choice(obs='q*', action='u', episode='run'))
    np.testing.assert_array_equal(columns.obs, np.arange(N)[:, None] + np.arange(3))
    np.testing.assert_array_equal(np.flatnonzero(columns.timeout), [1, 4])
    np.testing.assert_array_equal(columns.episode, [4, 4, 5, 5, 5])
    refused(path, 'which columns are the observations? There are q0', error=UsageError)
    refused(path, "no column 'x*' for obs", choice=Choice(obs='x*', action='u'), error=UsageError)


def test_chosen_columns_go_before_known_names(tmp_path):
    columns = read(written(tmp_path, table()), choice=Choice(obs='rewards', action='actions'))
    np.testing.assert_array_equal(columns.obs[:, 0], np.arange(N))


def test_lists_and_numbers_side_by_side(tmp_path):
    path = written(tmp_path, table())
    assert read(path, choice=Choice(obs='observations,rewards', action='actions')).obs.shape == (N, 3)


def test_names_with_dots_are_not_mixed_up(tmp_path):
    more = {'a': pa.array([{'b': 1.0, 'c': 2.0}] * N), 'a.b': pa.array(np.arange(N)), 'a.b.c': pa.array(np.ones(N))}
    columns = read(written(tmp_path, pa.table(more)), choice=Choice(obs='a.b', action='a.b.c'))
    np.testing.assert_array_equal(columns.obs[:, 0], np.arange(N))


@pytest.mark.parametrize('shape', [(2,), (2, 3, 4)])
@pytest.mark.parametrize('discrete', [True, False])
def test_what_is_written_is_read_back(tmp_path, shape, discrete):
    g = np.random.default_rng(0)
    image = len(shape) > 1
    obs = g.integers(0, 255, (N, *shape), np.uint8) if image else g.normal(size=(N, *shape)).astype(np.float32)
    action = np.arange(N, dtype=np.int32) if discrete else g.normal(size=(N, 2)).astype(np.float32)
    bounds = {} if discrete else {'low': (-0.1, -np.pi), 'high': (1.0, 2.0)}
    bounds = {name: tuple(map(float, np.float32(x))) for name, x in bounds.items()}
    flag = np.arange(N) == 2
    more = {'episode': np.array([-1, 7, 7, 8, 9]), 'time': g.normal(size=N)}
    columns = Columns(
        obs, action, np.float32([np.nan, np.inf, -0.0, 1e-40, 3]), flag, ~flag, obs[::-1], **bounds, **more
    )
    parquet.write(tmp_path / 'x.parquet', columns)
    back = read(tmp_path / 'x.parquet')
    assert fingerprint(back) == fingerprint(columns)
    assert back.notes == ()
    np.testing.assert_array_equal(back.episode, columns.episode)
    np.testing.assert_array_equal(back.time, columns.time)


def test_truncated_anywhere(tmp_path):
    path = written(tmp_path, table())
    whole = path.read_bytes()
    for size in np.linspace(4, len(whole) - 1, 80).astype(int):
        path.write_bytes(whole[:size])
        refused(path)


def test_a_flipped_byte_of_our_own_is_never_other_data(tmp_path):
    g = np.random.default_rng(1)
    columns = read(written(tmp_path, table(observations=layouts.column(g.normal(size=(N, 40)).astype(np.float32)))))
    path = tmp_path / 'own.parquet'
    parquet.write(path, columns)
    whole, expected = path.read_bytes(), fingerprint(columns)
    for at in g.permutation(len(whole))[:500]:  # in a page, and in the footer, which has no checksum of its own
        damaged = bytearray(whole)
        damaged[at] ^= 1 << g.integers(8)
        path.write_bytes(damaged)
        with contextlib.suppress(BadData):
            assert fingerprint(read(path)) == expected


ODD = {
    'no rewards': ({'rewards': None}, ['no column rewards or reward; found observations, actions']),
    'text': ({'rewards': pa.array(['a'] * N)}, ['rewards holds string, expected plain numbers']),
    'an empty cell': ({'rewards': pa.array([1.0, None, 2.0, 0.0, 0.0])}, ['rewards, row 1: empty']),
    'records': ({'actions': pa.array([{'x': 1.0}] * N)}, ['actions']),
    'lists of lists': ({'actions': pa.array([[[1.0]]] * N)}, ['actions holds list<element: list<element: double>>']),
    'lists of any length': (
        {'actions': pa.array([[1.0]] * 4 + [[]])},
        ['actions, row 4: 0 numbers, but the first row'],
    ),
    'a flag of 2': ({'terminals': pa.array([0, 1, 2, 0, 0])}, ['terminals, row 2 (first of 1): 2 is no flag']),
}


@pytest.mark.parametrize('name', ODD)
def test_odd_columns(tmp_path, name):
    changes, words = ODD[name]
    refused(written(tmp_path, table(**changes)), *words, 'Fix: ')


def test_a_file_by_hand_is_read(tmp_path):
    """So that the lies below are refused for what they say."""
    data = np.arange(3, dtype=np.float32).tobytes()
    columns = read(thrift.parquet(tmp_path / 'x.parquet', thrift.page(12, 12, 3) + data, 3, codec=0), choice=FLAT)
    np.testing.assert_array_equal(columns.obs[:, 0], np.arange(3))


FLAT = Choice(obs='observations', action='actions')
LIES = {
    'rows': ({'rows': 10**13}, ['declares 80.0 TB']),
    'values of a page': ({'values_of_page': 2**31 - 1}, ['declares 17.2 GB']),
    'bytes of a page': ({'unpacked': 2**31 - 1}, ['declares 4.3 GB']),
    'the length of a column': ({'size': 10**9}, ['lies outside of the file']),
    'the place of a column': ({'offset': 10**9}, ['lies outside of the file']),
    'a place before the file': ({'offset': -4}, ['lies outside of the file']),
}


@pytest.mark.parametrize('name', LIES)
def test_lies(tmp_path, name, monkeypatch):
    monkeypatch.setattr(convert, 'SMALL_BYTES', 10**6)
    lies, words = LIES[name]
    said = {'rows': 3, 'unpacked': 12, 'values_of_page': 3} | lies
    rows, unpacked, values = (said.pop(key) for key in ('rows', 'unpacked', 'values_of_page'))
    data = thrift.page(12, unpacked, values) + np.arange(3, dtype=np.float32).tobytes()
    refused(thrift.parquet(tmp_path / 'x.parquet', data, rows, **said), *words, choice=FLAT)


def test_fewer_values_than_rows(tmp_path):
    data = thrift.page(12, 12, 3) + np.arange(3, dtype=np.float32).tobytes()
    refused(thrift.parquet(tmp_path / 'x.parquet', data, 5), 'truncated or damaged Parquet', choice=FLAT)


def test_too_many_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, 'MAX_PAGES', 4)
    refused(written(tmp_path, table()), 'more than 4 pages')


def test_a_footer_that_is_too_long(tmp_path, monkeypatch):
    path = written(tmp_path, table())
    monkeypatch.setattr(parquet, 'MAX_FOOTER', 100)
    refused(path, 'a footer of', 'at most 100 bytes are read')


def test_shapes_that_do_not_fit(tmp_path):
    for shapes in (
        '{"shapes": {"observations": [3]}}',
        '{"shapes": {"observations": [-1]}}',
        '{',
        '[]',
        '{"shapes": 1}',
    ):
        path = written(tmp_path, table().replace_schema_metadata(dict.fromkeys(parquet.KEYS, shapes)))
        refused(path, 'truncated or damaged Parquet')


def test_a_table_of_ours_that_was_changed(tmp_path):
    parquet.write(tmp_path / 'x.parquet', read(written(tmp_path, table())))
    made = pq.read_table(tmp_path / 'x.parquet')
    pq.write_table(made.set_column(2, 'rewards', pa.array(np.ones(N, np.float32))), tmp_path / 'y.parquet')
    refused(tmp_path / 'y.parquet', 'holds other columns than were written', 'take the metadata stitchrl out')
    for keys in (made.schema.metadata, {}):
        less = {key: text for key, text in keys.items() if key != parquet.KEYS[0]}
        pq.write_table(made.replace_schema_metadata(less), tmp_path / 'y.parquet')
        if keys:
            refused(tmp_path / 'y.parquet', 'its schema is damaged')
    assert len(read(tmp_path / 'y.parquet')) == N


def test_extension_types_are_never_built(tmp_path, monkeypatch):
    """Arrow once unpickled a type that the schema named; here it would make a file."""
    bomb = b"cos\nsystem\n(S'touch " + str(tmp_path / 'ran').encode() + b"'\ntR."
    kind = {'ARROW:extension:name': 'arrow.py_extension_type', 'ARROW:extension:metadata': bomb}
    made = table()
    made = made.set_column(2, pa.field('rewards', pa.float32(), metadata=kind), made['rewards'])
    assert len(read(written(tmp_path, made))) == N
    assert not (tmp_path / 'ran').exists()

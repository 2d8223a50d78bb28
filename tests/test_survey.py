"""One survey of a recording tells what the recording in memory tells."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import columns_of, episodes, recorded, saved

from stitchrl.core.boundary import Boundary
from stitchrl.data.check import check, fingerprint
from stitchrl.data.dataset import Dataset
from stitchrl.data.survey import survey
from stitchrl.errors import BadData, UsageError
from stitchrl.recordings import about

LENGTHS = [(40, True), (25, False), (1, True), (34, False)]


@settings(deadline=None, max_examples=100)
@given(episodes, st.booleans(), st.integers(1, 5))
def test_the_survey_is_that_of_the_dataset_in_memory(tmp_path_factory, lengths, successors, size):
    arrays = recorded(lengths, successors)
    if not successors and all(steps == 1 and not ended for steps, ended in lengths):
        return  # nothing to learn from
    path = saved(tmp_path_factory.mktemp('survey') / 'r.npz', arrays)
    found, columns = survey(path, size=size), columns_of(arrays)
    whole = Dataset.from_columns(columns)
    returns = whole.returns()
    assert (len(found), found.episodes, found.spec) == (len(whole), len(returns), whole.spec)
    assert found.fingerprint == fingerprint(columns)
    np.testing.assert_allclose(found.returns, (returns.min(), returns.mean(), returns.max()), rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(found.moments(), whole.moments(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert found.rows == max(len(found.blocks[i].obs) for i in range(len(found.blocks)))


def test_moments_far_from_zero_keep_their_digits(tmp_path):
    arrays = recorded(LENGTHS)
    for name in ('observations', 'next_observations'):
        arrays[name] = arrays[name] + np.float32(5000)
    found = survey(saved(tmp_path / 'r.npz', arrays), size=2)
    whole = Dataset.from_columns(columns_of(arrays))
    np.testing.assert_allclose(found.std, whole.moments()[1], rtol=1e-9)


def test_a_boundary_of_the_survey_is_that_of_the_dataset(tmp_path):
    arrays = recorded(LENGTHS)
    arrays['actions'] = arrays['actions'] * np.float32([3, 0.5])
    found = survey(saved(tmp_path / 'r.hdf5', arrays), size=8)
    ours, theirs = (
        Boundary.fit(data, normalise=True, reward='range') for data in (found, Dataset.from_columns(columns_of(arrays)))
    )
    for name in ('mean', 'std', 'low', 'high', 'scale', 'shift'):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6)


def test_what_data_json_says_is_what_it_says_of_the_dataset(tmp_path):
    arrays = recorded(LENGTHS)
    found = survey(saved(tmp_path / 'r.npz', arrays), size=8).about()
    known = about(Dataset.from_columns(columns_of(arrays)))
    assert known.keys() <= found.keys()
    for name in ('steps', 'episodes', 'spec'):
        assert found[name] == known[name]
    assert found['return_mean'] == pytest.approx(known['return_mean'])
    assert found['path'] == str(tmp_path / 'r.npz')


def test_choices_and_images_are_counted(tmp_path):
    arrays = recorded(LENGTHS)
    arrays['actions'] = np.arange(100) % 4
    images = np.random.default_rng(0).integers(0, 255, (101, 2, 3, 3), np.uint8)
    arrays |= {'observations': images[:-1], 'next_observations': images[1:]}
    found = survey(saved(tmp_path / 'r.hdf5', arrays), size=8)
    assert found.spec == Dataset.from_columns(columns_of(arrays)).spec
    assert found.spec.action.n == 4
    with pytest.raises(UsageError, match='images are kept as bytes'):
        Boundary.fit(found, normalise=True)


@pytest.mark.parametrize('row', [3, 90, 99])
def test_an_error_is_told_with_its_row_in_the_whole_recording(tmp_path, row):
    arrays = recorded(LENGTHS)
    arrays['rewards'][row] = np.nan
    path = saved(tmp_path / 'r.npz', arrays)
    (known,) = [str(finding) for finding in check(columns_of(arrays)) if finding.severity == 'error']
    with pytest.raises(BadData) as error:
        survey(path, size=2)  # 16 blocks are looked at in one go
    assert str(error.value).splitlines()[0] == known
    assert f'rewards, row {row}: NaN' in known
    assert ('were not looked at' in str(error.value)) == (row < 96)


def test_actions_outside_the_bounds_that_are_stated_are_refused(tmp_path):
    arrays = recorded(LENGTHS)
    arrays['actions'][70, 1] = 3
    path = saved(tmp_path / 'r.npz', arrays)
    assert survey(path, size=2).spec.action.high[1] == 3  # nobody stated any
    with pytest.raises(BadData, match=r'actions, row 70: 3 in dimension 1 lies outside \[-1, 1\]'):
        survey(path, low=-1, high=1, size=2)


def test_a_recording_in_which_nothing_ends_is_refused(tmp_path):
    arrays = recorded([(100, False)], successors=False)
    arrays['timeouts'][:] = False
    with pytest.raises(BadData, match='no end of an episode anywhere'):
        survey(saved(tmp_path / 'r.npz', arrays), size=2)


def test_a_recording_without_rows_is_refused(tmp_path):
    arrays = {name: x[:0] for name, x in recorded(LENGTHS).items()}
    for name in ('r.npz', 'r.hdf5'):
        with pytest.raises(BadData, match='no rows'):
            survey(saved(tmp_path / name, arrays))


def test_one_end_late_in_the_recording_is_enough(tmp_path):
    arrays = recorded([(95, True), (5, False)], successors=False)
    assert survey(saved(tmp_path / 'r.npz', arrays), size=2).episodes == 2


def test_nothing_to_learn_from_is_refused(tmp_path):
    arrays = recorded([(1, False)] * 40, successors=False)
    with pytest.raises(BadData, match='no step with a successor in 40 rows'):
        survey(saved(tmp_path / 'r.npz', arrays), size=2)


def test_a_flipped_bit_is_found_before_training(tmp_path):
    path = saved(tmp_path / 'r.npz', recorded(LENGTHS))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data[archive.getinfo('rewards.npy').header_offset + 250] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadData, match='Bad CRC-32'):
        survey(path)


def test_warnings_are_those_of_the_first_rows(tmp_path):
    arrays = recorded(LENGTHS)
    arrays['observations'][:, 0] = 1
    arrays['next_observations'][:, 0] = 1
    found = survey(saved(tmp_path / 'r.npz', arrays), size=2)
    assert any('constant in dimension 0' in text for text in found.warnings)
    assert not any('middle of an episode (' in text for text in found.warnings)  # a border is none

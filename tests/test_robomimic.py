"""robomimic files: keys in a fixed order, what dones mean, and all that is refused."""

import h5py
import layouts
import numpy as np
import pytest

from stitchrl.data.dataset import Dataset
from stitchrl.data.formats import Choice, read, robomimic
from stitchrl.errors import BadData, UsageError

F32 = np.float32


def demo(steps=3, start=0, done=(), reward=None, after=True, images=False):
    """A demonstration whose observations count; `done`: the steps on which dones is 1."""
    count = np.arange(start, start + steps, dtype=np.float64)
    parts = lambda x: {'joint_10': x[:, None], 'joint_2': np.stack([x, -x], 1), 'object': x[:, None] + 0.5}
    found = {
        'actions': np.full((steps, 2), 0.5),
        'rewards': np.zeros(steps) if reward is None else np.array(reward, float),
        'dones': np.isin(np.arange(steps), done).astype(np.int64),
        'obs': parts(count),
    }
    if images:
        found['obs']['agentview_image'] = np.arange(steps * 48, dtype=np.uint8).reshape(steps, 4, 4, 3)
        found['next_obs'] = parts(count + 1) | {'agentview_image': found['obs']['agentview_image']}
    elif after:
        found['next_obs'] = parts(count + 1)
    return found


def write(tmp_path, *demos):
    return layouts.robomimic(tmp_path / 'demo.hdf5', demos)


def refused(path, *words, error=BadData, **options):
    with pytest.raises(error) as caught:
        read(path, **options)
    assert '\n' not in str(caught.value)
    for word in (str(path), *words):
        assert word in str(caught.value), str(caught.value)


def test_keys_side_by_side_in_natural_order(tmp_path):
    columns = read(write(tmp_path, demo(2, 1), demo(1, 9)))
    np.testing.assert_array_equal(columns.obs, F32([[1, -1, 1, 1.5], [2, -2, 2, 2.5], [9, -9, 9, 9.5]]))
    np.testing.assert_array_equal(columns.next_obs[:, 0], [2, 3, 10])
    np.testing.assert_array_equal(columns.timeout, [False, True, True])
    order = 'observations: one row is joint_2, joint_10, object, side by side; a policy wants them in this order'
    assert order in columns.notes


def test_keys_as_chosen(tmp_path):
    path = write(tmp_path, demo(2, 1))
    np.testing.assert_array_equal(read(path, choice=Choice(obs='object,joint_10')).obs, F32([[1.5, 1], [2.5, 2]]))
    assert read(path, choice=Choice(obs='joint_*')).obs.shape == (2, 3)
    refused(path, "no column 'jiont_2' for obs; did you mean joint_2", choice=Choice(obs='jiont_2'), error=UsageError)


def test_demonstrations_come_in_the_order_of_their_numbers(tmp_path):
    columns = read(write(tmp_path, *(demo(1, 10 * i) for i in range(12))))
    np.testing.assert_array_equal(columns.obs[:, 0], 10 * np.arange(12))


DONES = {  # dones and rewards of each demonstration -> where the task ended, of 3 + 3 steps
    'none at all': ([(), ()], None, []),
    'at success, not all succeed': ([(1,), ()], None, [1]),
    'at success, though it goes on': ([(0, 1, 2), ()], None, [0, 1, 2]),
    'at every end, rewards are success': ([(2,), (2,)], [[0, 0, 1], [0, 0, 0]], [2]),
    'at every end, nobody succeeds': ([(2,), (2,)], None, []),
    'at every end, rewards are dense': ([(2,), (2,)], [[0.1, 0.5, 1], [0, 0, 0.2]], []),
    'both: at success and at every end': ([(1, 2), (2,)], [[0, 1, 1], [0, 0, 0]], [1, 2]),
    'both, rewards are dense': ([(1, 2), (2,)], [[0.3, 2, 2], [0, 0, 0]], [1]),
}


@pytest.mark.parametrize('name', DONES)
def test_what_dones_mean(tmp_path, name):
    done, reward, ends = DONES[name]
    rewards = reward or [None, None]
    columns = read(write(tmp_path, *(demo(3, 10 * i, done[i], rewards[i]) for i in range(2))))
    np.testing.assert_array_equal(np.flatnonzero(columns.terminal), ends)
    np.testing.assert_array_equal(np.flatnonzero(columns.timeout), [row for row in (2, 5) if row not in ends])
    assert sum(note.startswith('dones: ') for note in columns.notes) == 1


def test_what_dones_mean_as_chosen(tmp_path):
    path = write(tmp_path, demo(3, 0, (2,)), demo(3, 10, (2,)))
    assert read(path, choice=Choice(terminal='dones')).terminal.sum() == 2
    columns = read(write(tmp_path, demo(3, 0, (1,)), demo(3, 10)), choice=Choice(timeout='dones'))
    assert not columns.terminal.any()
    refused(path, 'terminal of a robomimic file is dones', choice=Choice(terminal='rewards'), error=UsageError)
    refused(path, 'only one of the two', choice=Choice(terminal='dones', timeout='dones'), error=UsageError)


def test_masks_of_the_dataset(tmp_path):
    data = Dataset.from_columns(read(write(tmp_path, demo(3, 0, (1,)), demo(2, 10))))
    np.testing.assert_array_equal(data.obs[:, 0], [0, 1, 2, 2, 3, 10, 11, 12])
    np.testing.assert_array_equal(data.mask, [1, 0, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(data.ends, [0, 0, 1, 0, 1, 0, 0, 1])


def test_without_next_obs_rewards_and_dones(tmp_path):
    plain = demo(3, after=False)
    del plain['rewards'], plain['dones']
    columns = read(write(tmp_path, plain))
    assert columns.next_obs is None
    np.testing.assert_array_equal(columns.reward, 0)
    np.testing.assert_array_equal(columns.timeout, [False, False, True])
    assert any('no rewards' in note for note in columns.notes)


def test_images_only_by_their_full_name(tmp_path):
    path = write(tmp_path, demo(2, images=True))
    columns = read(path)
    assert columns.obs.shape == (2, 4)
    assert 'agentview_image: images, left out; they are read by their full name alone' in columns.notes
    pictures = read(path, choice=Choice(obs='agentview_image'))
    assert (pictures.obs.shape, pictures.obs.dtype) == ((2, 3, 4, 4), np.uint8)
    np.testing.assert_array_equal(pictures.obs[1, 2, 3], demo(2, images=True)['obs']['agentview_image'][1, 3, :, 2])
    refused(path, "no column '*image' for obs", choice=Choice(obs='*image'), error=UsageError)
    refused(path, 'images beside other keys', choice=Choice(obs='agentview_image,object'))
    only = {'actions': np.zeros((2, 1)), 'obs': {'cam': np.zeros((2, 3, 3, 3), np.uint8)}}
    refused(write(tmp_path, only), 'only images: cam. Fix: name one', error=UsageError)


def change(path, edit):
    with h5py.File(path, 'a') as file:
        edit(file['data'])
    return path


def replace(group, name, x):
    del group[name]
    group[name] = x


ODD = {
    'no obs': (lambda data: data['demo_0'].pop('obs'), ['data/demo_0 has no obs; found', 'dataset_states_to_obs']),
    'obs without a key': (lambda data: data['demo_0/obs'].clear(), ['data/demo_0/obs is empty']),
    'a key that is missing': (lambda data: data['demo_1/obs'].pop('object'), ['no column data/demo_1/obs/object']),
    'no actions': (lambda data: data['demo_1'].pop('actions'), ['no column data/demo_1/actions']),
    'a column that is short': (
        lambda data: replace(data, 'demo_1/rewards', np.zeros(2)),
        ['demo_1/rewards has 2 rows, but there are 3 actions'],
    ),
    'another width': (
        lambda data: [replace(data, f'demo_1/{part}/object', np.zeros((3, 7))) for part in ('obs', 'next_obs')],
        ['demo_1/obs/object has rows of 7, the first episode of 1'],
    ),
    'dones that are no flags': (lambda data: replace(data, 'demo_0/dones', np.full(3, 2)), ['dones, row 0', 'no flag']),
    'next_obs in some': (
        lambda data: data['demo_1'].pop('next_obs'),
        ['demo_1 and the first episode differ in next_obs'],
    ),
    'a demonstration that is an array': (lambda data: replace(data, 'demo_1', 1), ['data/demo_1 is an array']),
    'a demonstration elsewhere': (
        lambda data: replace(data, 'demo_1', h5py.ExternalLink('secret.hdf5', '/')),
        ['data/demo_1 is a link, which is never followed'],
    ),
    'observations by a soft link': (
        lambda data: replace(data, 'demo_1/obs', h5py.SoftLink('/data/demo_0/obs')),
        ['data/demo_1/obs is a link'],
    ),
}


@pytest.mark.parametrize('name', ODD)
def test_odd_files(tmp_path, name):
    edit, words = ODD[name]
    refused(change(write(tmp_path, demo(), demo()), edit), *words, 'Fix: ')


def test_a_group_that_is_a_link_is_not_looked_into(tmp_path):
    path = tmp_path / 'x.hdf5'
    with h5py.File(path, 'w') as file:
        file['data'] = h5py.ExternalLink('other.hdf5', '/data')
    refused(path, 'no column observations')
    refused(path, 'data is a link, which is never followed', format='robomimic')


def test_too_many_demonstrations(tmp_path, monkeypatch):
    monkeypatch.setattr(robomimic, 'MAX_DEMOS', 1)
    refused(write(tmp_path, demo(), demo()), '2 demonstrations, at most 1 are read')


def test_what_env_args_names_is_never_imported(tmp_path, monkeypatch):
    (tmp_path / 'bomb.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")\nmake = None')
    monkeypatch.syspath_prepend(tmp_path)
    assert len(read(write(tmp_path, demo()))) == 3
    assert not (tmp_path / 'ran').exists()

"""Runs in bad surroundings: a disk that is full or read-only, a killed neighbour, a moved folder, a bare machine.

Disks are file systems in memory that a child process mounts where only it can see them.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import fakes
import numpy as np
import pytest
import tiny

from stitchrl import api
from stitchrl.cli import exhausted, main

PRIVATE = ['unshare', '--user', '--map-root-user', '--mount']
MOUNT = 'mount -t tmpfs -o size={size} none {folder} && exec "$@"'
FILL = 'f=$(mktemp -p {folder} ballast.XXXX); dd if=/dev/zero of=$f bs=4k status=none 2>&1 || true'
SEAL = 'mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}'

# Once the first policy is judged and saved, the world breaks the disk. What a person sees follows, then what is left.
RUN = """
import json, os, subprocess, sys
from pathlib import Path
import gymnasium as gym
import numpy as np

options, folder, fault = json.loads(sys.argv[1])
folder = Path(folder)

class World(gym.Env):
    observation_space = gym.spaces.Box(-9, 9, (3,))
    action_space = gym.spaces.Box(np.float32([-2, 0]), np.float32([2, 10]))
    broken = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if not World.broken and (folder / 'run' / 'checkpoints' / 'step_000000004').exists():
            World.broken = True
            subprocess.run(fault, shell=True, check=True)
        return self.np_random.normal(size=3).astype(np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, True, False, {}

sys.modules['world'] = type(sys)('world')
sys.modules['world'].World = World

from stitchrl.cli import exhausted, main
from stitchrl.runs import checkpoint
print('code', main(options))
found = checkpoint.steps(folder / 'run' / 'checkpoints')
print('left', [(path.name, checkpoint.whole(path)) for path in found], list(folder.glob('run/checkpoints/.*')))
os.chdir(folder)
(Path('..') / 'runs').mkdir()
(Path('..') / 'runs' / 'it').symlink_to(folder / 'run')
os.chdir('..')
print('list', end=' ')
main(['list', 'runs'])
"""


def possible(folder):
    """Whether this machine lets a process have a file system of its own."""
    command = [*PRIVATE, 'sh', '-c', MOUNT.format(size='1m', folder=folder), 'sh', 'true']
    return shutil.which('unshare') and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ('fault', 'why'), [(FILL, 'No space left on device'), (SEAL, 'Read-only file system')], ids=['full', 'read-only']
)
@pytest.mark.timeout(300)
def test_a_disk_that_takes_no_more_fails_the_step_that_was_not_saved(tmp_path, fault, why):
    disk = tmp_path / 'disk'
    disk.mkdir()
    if not possible(disk):
        pytest.skip('this machine lets no process mount a file system of its own')
    options = [f'--{name}={value}' for name, value in {**tiny.CONFIG, **tiny.RUN, 'hidden': 8, 'seeds': 1}.items()]
    options = ['train', 'bc', '--data', str(tiny.write(tmp_path / 'recording.npz')), *options, '--json']
    options += ['--eval-env', 'world:World', '--eval-episodes', '2', '--out', str(disk / 'run')]
    told = json.dumps([options, str(disk), fault.format(folder=disk)])
    command = [*PRIVATE, 'sh', '-c', MOUNT.format(size='3m', folder=disk), 'sh', sys.executable, '-c', RUN, told]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    said = [line for line in done.stderr.splitlines() if line.startswith('stitch:')]
    lines = dict(line.split(' ', 1) for line in done.stdout.splitlines())
    assert done.returncode == 0, done.stderr
    assert lines['code'] == '1', done
    assert len(said) == 1, done.stderr
    assert 'Traceback' not in done.stderr, done.stderr
    assert why in said[0], said
    assert 'step_000000008' in said[0] or 'metrics' in said[0] or 'eval' in said[0], said
    assert 'killed; go on with: stitch resume' in lines['list'], 'the disk took no last word, and the lock tells'
    assert lines['left'] == "[('step_000000000', True), ('step_000000004', True)] []"


EXTRAS = {'ale_py', 'cv2', 'mujoco', 'pyarrow', 'ogbench', 'grain', 'onnx', 'onnxruntime', 'flatbuffers', 'minari'}
COMMANDS = """
import json, sys
from stitchrl.cli import exhausted, main

for command in json.loads(sys.stdin.read()):
    print('code', command[0], main(command), flush=True)
    print('end of', command[0], file=sys.stderr, flush=True)
"""
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {names}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Missing())
"""


def core_verbs(folder):
    """Commands to be given in `folder` that read, train, judge, tell and show."""
    fakes.write(folder / 'recording.npz', fakes.recording())
    recording, run = 'recording.npz', 'a run'
    options = ['--hidden', '8', '--batch', '4', '--steps', '4', '--seeds', '2', '--eval-episodes', '2']
    return [
        ['data', 'inspect', recording],
        ['train', 'bc', '--data', recording, '--eval-env', fakes.MAZE, *options, '--out', run],
        ['eval', run, '--episodes', '2'],
        ['report', run],
        ['play', run, '--out', 'film.webp'],
        ['list', 'runs'],
        ['info'],
    ]


def run_all(commands, cwd, script=COMMANDS, env=os.environ, prefix=(), code=0):
    """Run commands one after the other in one process; each must end with `code`. What each said of errors."""
    done = subprocess.run(
        [*prefix, sys.executable, '-c', script],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        errors='replace',
        cwd=cwd,
        env=env | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
        timeout=280,
        check=False,
    )
    codes = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith('code ')]
    assert codes == [[command[0], str(code)] for command in commands], done.stdout + done.stderr
    assert 'Traceback' not in done.stderr, done.stderr
    return [part.strip() for part in re.split(r'end of \w+\n', done.stderr)[:-1]]


@pytest.mark.timeout(300)
def test_a_bare_machine_is_enough(tmp_path):
    """No HOME, no network, nothing in the environment, a locale without Unicode, a path with spaces and accents."""
    folder = tmp_path / 'Größe é ü'
    folder.mkdir()
    offline = ['unshare', '--user', '--map-root-user', '--net']
    if not shutil.which('unshare') or subprocess.run([*offline, 'true'], capture_output=True, check=False).returncode:
        pytest.skip('this machine lets no process have a network of its own')
    run_all(core_verbs(folder), folder, env={'PATH': os.environ['PATH'], 'LC_ALL': 'C'}, prefix=offline)
    assert (folder / 'a run' / 'report.html').stat().st_size > 10_000
    assert (folder / 'film.webp').stat().st_size > 1000


@pytest.mark.timeout(300)
def test_the_core_needs_no_extra_and_each_is_named_where_it_is_needed(tmp_path):
    """Everything that only extras bring is hidden."""
    hidden = BLOCKED.format(names=sorted(EXTRAS)) + COMMANDS
    run_all(core_verbs(tmp_path), tmp_path, script=hidden)
    (tmp_path / 'table.parquet').write_bytes(b'PAR1' + bytes(100) + b'PAR1')
    train = ['train', 'bc', '--data', 'recording.npz', '--steps', '4']
    needs = {
        'mujoco': [*train, '--eval-env', 'Hopper-v5'],
        'atari': [*train, '--eval-env', 'ALE/Pong-v5'],
        'stream': [*train, '--stream', '--out', 'streamed'],
        'tables': ['data', 'inspect', 'table.parquet'],
        'ogbench': ['data', 'make', 'ogbench/pointmaze-medium-navigate', '--steps', '1000', '--out', 'made.npz'],
        'export': ['export', 'a run', 'onnx', '--to', 'onnx'],
    }
    for (extra, command), said in zip(
        needs.items(), run_all(list(needs.values()), tmp_path, hidden, code=3), strict=True
    ):
        assert f'pip install "stitchrl[{extra}]"' in said, (command, said)
        assert len(said.splitlines()) == 1, said
    assert not [name for name in ('streamed', 'made.npz', 'onnx') if (tmp_path / name).exists()]


def metrics(run):
    """metrics.jsonl but for the time it took."""
    rows = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != 'seconds'} for row in rows]


@pytest.mark.timeout(300)
def test_the_same_seed_gives_the_same_numbers_on_one_core_and_two_and_from_a_cache(tmp_path):
    """What one machine and one set of versions promise, and what another seed does."""
    command = core_verbs(tmp_path)[1][:-2]
    cache = {'JAX_COMPILATION_CACHE_DIR': str(tmp_path / 'cache'), 'JAX_ENABLE_COMPILATION_CACHE': 'true'}
    cache |= {'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'}
    for out, env in {'one': {'NPROC': '1'}, 'two': {'NPROC': '2'}, 'write': cache, 'read': cache}.items():
        run_all([[*command, '--out', out]], tmp_path, env=os.environ | env)
    run_all([[*command, '--seed', '1', '--out', 'other']], tmp_path)
    assert any((tmp_path / 'cache').iterdir()), 'nothing was cached'
    assert len({json.dumps(metrics(tmp_path / out)) for out in ('one', 'two', 'write', 'read')}) == 1
    assert metrics(tmp_path / 'other') != metrics(tmp_path / 'one')


def test_a_run_is_written_by_one_process(tmp_path, capsys):
    fakes.write(tmp_path / 'recording.npz', fakes.recording())
    options = {'data': str(tmp_path / 'recording.npz'), 'out': str(tmp_path / 'run'), **tiny.RUN}
    session = api.session('bc', api.load(options.pop('data')), **options, **tiny.CONFIG)
    chunks = session.go(tiny.agents('bc', session.spec, 2))
    next(chunks)
    before = sorted((path, path.read_bytes()) for path in (tmp_path / 'run').rglob('*') if path.is_file())
    assert main(['resume', str(tmp_path / 'run')]) == 2
    assert f'process {os.getpid()} of {os.uname().nodename} is writing this run' in capsys.readouterr().err
    assert before == sorted((path, path.read_bytes()) for path in (tmp_path / 'run').rglob('*') if path.is_file())
    chunks.close()
    assert main(['resume', str(tmp_path / 'run')]) != 2 or 'is writing' not in capsys.readouterr().err


def test_a_lack_of_memory_is_said_in_a_line(tmp_path, capsys):
    """XLA's, by a batch that no machine holds; NumPy's as it comes."""
    fakes.write(tmp_path / 'recording.npz', fakes.recording())
    options = ['--data', str(tmp_path / 'recording.npz'), '--out', str(tmp_path / 'run'), '--seeds', '1']
    assert main(['train', 'bc', *options, '--steps', '4', '--batch', str(10**10)]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith('stitch: out of memory: ')
    assert 'a smaller --capacity, --batch or fewer --seeds' in told
    assert json.loads((tmp_path / 'run' / 'STATUS.json').read_text())['state'] == 'failed'


def test_only_a_lack_of_memory_is_taken_for_one():
    with pytest.raises(MemoryError) as lack:
        np.empty(10**15)
    assert exhausted(lack.value).startswith('out of memory: Unable to allocate')
    assert exhausted(MemoryError()).startswith('out of memory; take')
    assert not exhausted(ValueError('RESOURCES'))

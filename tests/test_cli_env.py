"""`stitch env check`: what it prints and with which code it leaves."""

import json
import subprocess
import sys

import pytest

from stitchrl.cli import main as stitch
from stitchrl.cli.env import main
from stitchrl.errors import BadData


def test_an_environment_in_order(capsys):
    assert stitch(['env', 'check', 'CartPole-v1', '--episodes', '3']) == 0
    text = ' '.join(capsys.readouterr().out.split())
    assert "Gymnasium's own checker has nothing to say" in text
    assert 'errors: 0, warnings: 0' in text


def test_a_broken_one_leaves_with_code_4_and_says_what_to_do(capsys):
    assert main(['check', 'broken_worlds:Buffered']) == BadData.code == 4
    text = ' '.join(capsys.readouterr().out.split())
    assert 'error buffers, episode 1, step 1: the observation returned before this step has changed' in text
    assert 'it means: who keeps an observation finds the next one in it' in text
    assert 'do: return a copy: obs.copy()' in text


def test_a_program_reads_json_whatever_the_environment_prints(capfd):
    assert main(['check', 'broken_worlds:Talks', '--json', '--steps', '40']) == 4
    told = json.loads(capfd.readouterr().out)
    assert (told['env'], told['errors'], told['warnings']) == ('broken_worlds:Talks', 1, 0)
    first = told['findings'][0]
    assert (first['severity'], first['name'], first['episode'], first['step']) == ('error', 'endless', 1, 40)


@pytest.mark.parametrize('argv', [[], ['check'], ['check', 'x', '--episodes', 'many']])
def test_wrong_use_leaves_with_code_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert 'usage: stitch env' in capsys.readouterr().err


def test_a_name_that_leads_nowhere_leaves_with_code_2(capsys):
    assert stitch(['env', 'check', 'nonsense']) == 2
    assert "no environment 'nonsense'" in capsys.readouterr().err


def test_help_has_an_example_and_is_quick_to_import(capsys):
    with pytest.raises(SystemExit) as caught:
        main(['check', '--help'])
    assert caught.value.code == 0
    assert 'stitch env check Pendulum-v1' in capsys.readouterr().out
    code = 'import sys, stitchrl.cli.env; assert not {"jax", "rich", "gymnasium", "numpy"} & set(sys.modules)'
    subprocess.run([sys.executable, '-c', code], check=True)

import json

import fakes

from stitchrl.cli import main


def test_the_verb_writes_where_it_is_told(tmp_path, capsys):
    run = fakes.run(tmp_path / 'bc', 'bc')
    out = tmp_path / 'page.html'
    assert main(['report', str(run.path / 'policy'), '--out', str(out), '--episodes', '0', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == {'report': str(out)}
    assert out.read_text().startswith('<!doctype html>')


def test_a_folder_that_is_no_run_is_one_line(tmp_path, capsys):
    assert main(['report', str(tmp_path)]) == 2
    assert capsys.readouterr().err.count('\n') == 1

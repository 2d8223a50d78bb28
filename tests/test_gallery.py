import json

from stitchrl.report import canvas, gallery
from stitchrl.report.claim import Check, Claim, exact, record

PNG = canvas.png(canvas.blank(2, 1), None)


def told(name, statement, found):
    check = Check((statement,), 'a | b', exact(found), above=0.0, control=exact(-9), without='nothing')
    claim = Claim([check], PNG, 'A caption.', 'A figure.', ('A note.',))
    return record(name, f'Title of {name}.\n\nPrediction. It is.', (statement,), claim, 1.0, 2.0)


def kept(folder, *records):
    for one in records:
        (folder / f'{one["name"]}.json').write_text(json.dumps(one))
        (folder / one['figure']).write_bytes(PNG)
    return gallery.read(folder)


def test_experiments_stand_in_the_order_of_the_course(tmp_path):
    found = kept(tmp_path, told('a_late', 22, 1), told('z_early', 3, 1), told('b_late', 22, 1))
    assert [one['name'] for one in found] == ['z_early', 'a_late', 'b_late']


def test_the_page_marks_all_three_verdicts(tmp_path):
    undecided = told('open', 3, 1)
    undecided['verdict'] = undecided['checks'][0]['verdict'] = 'undecided'
    found = kept(tmp_path, told('good', 1, 1), told('bad', 2, -1), undecided)
    html = gallery.page(found, tmp_path / 'claims.html', tmp_path).read_text()
    for text in ('✓ holds', '✗ does not hold', '? undecided', 'A note.', 'stitch claims run bad', 'Title of good. (1)'):
        assert text in html
    assert html.count('data:image/png;base64,') == 3


def test_markdown_links_lead_to_sections(tmp_path):
    text = gallery.markdown(kept(tmp_path, told('two_words', 1, 1)), tmp_path / 'docs' / 'claims.md').read_text()
    assert '[Title of two_words.](#two-words)' in text
    assert '\n## two-words\n' in text
    assert '1 s (2 s of processors)' in text
    rows = [line for line in text.splitlines() if line.startswith('| ') and 'predicted' not in line]
    assert all(line.replace('\\|', '').count('|') in (5, 7) for line in rows)

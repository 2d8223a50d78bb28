"""The documents: every algorithm has its page and its row, and every link leads somewhere."""

import re
from pathlib import Path

import pytest

from stitchrl.algos import ALGORITHMS, PLAYERS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md'), *ROOT.glob('benchmarks/*.md')])
LINK = re.compile(r'\]\(([^)\s]+)\)')


def anchors(page: Path) -> set[str]:
    """Headings of a page as links name them."""
    heads = re.findall(r'^#+ (.*)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', head.lower()).strip().replace(' ', '-') for head in heads}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """Files of the repository, and headings in them; other addresses are not looked up."""
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition('#')
        if '://' in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f'{page.name}: {link}'
        if anchor and target.suffix == '.md':
            assert anchor in anchors(target), f'{page.name}: {link}'


@pytest.mark.parametrize('algo', [*ALGORITHMS, *PLAYERS])
def test_every_algorithm_has_a_page_and_a_row(algo):
    """A page of its own, a row in the README's table, and one with its evidence and its claims."""
    assert (ROOT / 'docs' / 'algorithms' / f'{algo}.md').is_file()
    assert f'| [`{algo}`](stitchrl/algos/' in (ROOT / 'README.md').read_text()
    assert f'| [`{algo}`]({algo}.md) | ' in (ROOT / 'docs' / 'algorithms' / 'README.md').read_text()

"""Reference returns of the D4RL tasks: what a random policy scores (0) and what an expert scores (100).

The numbers are those of D4RL's `infos.py` (Fu et al., 2020), the same for v0, v1 and v2 of a dataset. They
were measured in the Gym environments of 2020; with a later one (Hopper-v5) they are only a common ruler, and
the version belongs beside the score.
"""

from typing import NamedTuple


class Reference(NamedTuple):
    """Undiscounted returns that count as 0 and as 100."""

    random: float
    expert: float


REFERENCES = {
    'ant': Reference(-325.6, 3879.7),
    'halfcheetah': Reference(-280.178953, 12135.0),
    'hopper': Reference(-20.272305, 3234.3),
    'walker2d': Reference(1.629008, 4592.3),
    'antmaze': Reference(0.0, 1.0),
    'kitchen': Reference(0.0, 4.0),
    'door': Reference(-56.512833, 2880.5693087298737),
    'hammer': Reference(-274.856578, 12794.134825156867),
    'pen': Reference(96.262799, 3076.8331017826877),
    'relocate': Reference(-6.425911, 4233.877797728884),
    'maze2d-umaze': Reference(23.85, 161.86),
    'maze2d-medium': Reference(13.13, 277.39),
    'maze2d-large': Reference(6.7, 273.99),
    'maze2d-umaze-dense': Reference(68.537689, 193.66285642381482),
    'maze2d-medium-dense': Reference(44.264742, 297.4552547777125),
    'maze2d-large-dense': Reference(30.569041, 303.4857382709002),
}


def find(name: str) -> Reference | None:
    """The reference of a dataset or environment, such as 'hopper-medium-v2' or 'Hopper-v5'; or None.

    The longest entry wins whose words, in order, begin the name.
    """
    words = name.lower().split('-')
    for count in range(len(words), 0, -1):
        if found := REFERENCES.get('-'.join(words[:count])):
            return found
    return None

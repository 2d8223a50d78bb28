import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from stitchrl.errors import UsageError
from stitchrl.report import canvas
from stitchrl.report.picture import Picture
from stitchrl.report.video import webp

PNG = canvas.png(canvas.blank(2, 1), None)
FILM = webp([np.full((20, 30, 3), shade, np.uint8) for shade in (0, 255)], [100, 100])


def opened(address):
    return Image.open(BytesIO(base64.b64decode(address.partition(',')[2])))


def test_each_kind_is_addressed_as_what_it_is():
    pictures = {'png': Picture(PNG, 'a', 'b'), 'webp': Picture(FILM, 'a', 'b'), 'svg+xml': Picture('<svg/>', 'a', 'b')}
    for kind, picture in pictures.items():
        assert picture.source.startswith(f'data:image/{kind};base64,')
    assert [picture.width for picture in pictures.values()] == [192, 30, None]


def test_a_film_has_a_still_of_its_first_frame():
    still = opened(Picture(FILM, 'a', 'b').still)
    assert (still.format, getattr(still, 'n_frames', 1)) == ('WEBP', 1)
    assert np.asarray(still).max() < 20
    assert Picture(PNG, 'a', 'b').still is None
    assert Picture('<svg/>', 'a', 'b').still is None


def test_a_phone_gets_the_narrow_drawing():
    narrow = canvas.png(canvas.blank(1, 1), None)
    assert opened(Picture(PNG, 'a', 'b', narrow).small).size == (canvas.DPI, canvas.DPI)
    assert Picture(PNG, 'a', 'b').small is None


def test_bytes_of_another_kind_are_refused():
    with pytest.raises(UsageError, match='neither a PNG, a WebP nor the text of an SVG'):
        _ = Picture(b'GIF89a', 'a maze', 'a maze').width

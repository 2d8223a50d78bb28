"""Pictures as addresses that hold them, so that a page needs no other file."""

import base64
from dataclasses import dataclass
from io import BytesIO

from stitchrl.errors import UsageError


@dataclass(frozen=True)
class Picture:
    """A PNG, a WebP that may move, or the text of an SVG; `alt` tells those who cannot see it what it shows."""

    image: bytes | str
    caption: str
    alt: str
    narrow: bytes | None = None  # the same as a PNG drawn for a phone

    @property
    def source(self) -> str:
        """The picture as an address that holds it; a script in an SVG does not run there."""
        if isinstance(self.image, str):
            return address('svg+xml', self.image.encode())
        return address('webp' if moving(self.image) else 'png', self.image)

    @property
    def small(self) -> str | None:
        """The address of `narrow`."""
        return None if self.narrow is None else address('png', self.narrow)

    @property
    def still(self) -> str | None:
        """The first frame of a WebP, for paper and for those who asked their system for less motion."""
        if isinstance(self.image, str) or not moving(self.image):
            return None
        from PIL import Image

        frame, buffer = Image.open(BytesIO(self.image), formats=['WEBP']), BytesIO()
        frame.convert('RGB').save(buffer, 'WEBP', quality=70)
        return address('webp', buffer.getvalue())

    @property
    def width(self) -> int | None:
        """What a PNG asks for, in the page's pixels of 1/96 inch, so that letters in all pictures are alike."""
        if isinstance(self.image, str):
            return None
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(BytesIO(self.image), formats=['PNG', 'WEBP']) as image:
                return round(image.width / image.info.get('dpi', (96, 96))[0] * 96)
        except UnidentifiedImageError:
            raise UsageError(f'the picture {self.caption!r} is neither a PNG, a WebP nor the text of an SVG') from None


def address(kind: str, image: bytes) -> str:
    """A data address of an image."""
    return f'data:image/{kind};base64,{base64.b64encode(image).decode()}'


def moving(image: bytes) -> bool:
    """Whether an image is a WebP."""
    return image[:4] == b'RIFF' and image[8:12] == b'WEBP'

"""Images as bytes (C, H, W), decoded by Pillow."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from distlandscape.data.arrays import Samples
from distlandscape.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

_DEEP = ("I", "F")  # beginnings of modes with more than eight bits a channel


def decode(image: Path | bytes, name: str) -> Samples:
    """The pixels of a PNG or JPEG file, or of its content.

    Raises:
        InputError: no such image, damaged, or so large that it looks like an attack; ``name`` says which.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(image if isinstance(image, Path) else io.BytesIO(image), formats=("PNG", "JPEG")) as opened:
                return pixels(opened, name)
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"{name} has far too many pixels to be decoded; remove it or make it smaller") from None
    except Exception:  # decoders each have their own ways to fail on a damaged or hostile file
        raise InputError(f"{name} is no PNG or JPEG image that can be read; remove it or save it again") from None


def pixels(image: Image.Image, name: str) -> Samples:
    """One channel of a grey image (mode L), else red, green and blue.

    Raises:
        InputError: more than eight bits a channel.
    """
    if image.mode.startswith(_DEEP):
        raise InputError(f"{name} has more than eight bits a channel (mode {image.mode}); save it with eight")
    if image.mode == "L":
        return np.array(image)[None]
    return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))

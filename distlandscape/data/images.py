"""Images as bytes (C, H, W), decoded by Pillow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from distlandscape.data.arrays import Samples
from distlandscape.errors import InputError
from distlandscape.files import open_regular
from distlandscape.limits import ROW

if TYPE_CHECKING:
    from PIL import Image

_DEEP = ("I", "F")  # beginnings of modes with more than eight bits a channel


def decode(image: Path | IO[bytes], name: str) -> Samples:
    """The pixels of a PNG or JPEG file, or of a stream of its content.

    Raises:
        InputError: no such image, damaged, or with more pixels than a sample may have; ``name`` says which.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a lower bound is checked below
            with (
                open_regular(image) if isinstance(image, Path) else image as stream,
                Image.open(stream, formats=("PNG", "JPEG")) as opened,
            ):
                size = opened.width * opened.height * (1 if opened.mode == "L" else 3)
                if size > ROW:
                    raise Image.DecompressionBombError
                return pixels(opened, name)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(
            f"{name} has far too many pixels: decoded, a sample has {ROW:,} bytes at most; remove or shrink it"
        ) from None
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

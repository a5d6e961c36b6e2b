"""Photos of the user converted for the native part: a path, the bytes of a file, or H×W×3 pixels."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from .errors import ImageError

if TYPE_CHECKING:
    from typing import TypeAlias

#: A path, bytes of an image file, a ``PIL.Image.Image``, uint8 pixels H×W×3 (RGB) or H×W (grey), or an open binary file.
Photo: TypeAlias = "Union[str, os.PathLike[str], bytes, np.ndarray[Any, Any], Any]"

#: Name and content for the native part.
Named: TypeAlias = "tuple[str, Any]"


def named(photo: Photo, number: int) -> Named:
    """The name of a photo in results, and the photo for the native part."""
    if isinstance(photo, (str, os.PathLike)):
        return os.fspath(photo), os.fspath(photo)
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return f"photo {number}", bytes(photo)
    if isinstance(photo, np.ndarray):
        return f"photo {number}", _pixels(photo, number)
    if hasattr(photo, "convert") and hasattr(photo, "getbands"):
        return _named_pillow(photo, number)
    if hasattr(photo, "read"):
        return _named_file(photo, number)
    if hasattr(photo, "__array__"):
        return f"photo {number}", _pixels(np.asarray(photo), number)
    raise TypeError(
        f"a photo is a path, bytes, a PIL image or pixels H×W×3 of uint8, not {type(photo).__name__}"
    )


def is_one(photos: Any) -> bool:
    """Whether the argument is one photo, not a list of them."""
    return not isinstance(photos, (list, tuple))


def _pixels(array: np.ndarray[Any, Any], number: int) -> np.ndarray[Any, Any]:
    what = f"photo {number}: pixels of type {array.dtype} and shape {array.shape}"
    if array.dtype != np.uint8:
        raise ImageError(
            f"{what}; give uint8, 0 to 255 (tensors that are preprocessed already go to candor.Method)"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2:
        array = np.stack([array] * 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3:
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] > 4
        remedy = "channels come last: give array.transpose(1, 2, 0)" if first else "give H×W×3, or H×W where grey"
        raise ImageError(f"{what}; {remedy}")
    return np.ascontiguousarray(array)


def _named_pillow(image: Any, number: int) -> Named:
    name = os.fspath(getattr(image, "filename", "") or f"photo {number}")
    try:
        if image.mode == "RGB":
            return name, np.ascontiguousarray(np.asarray(image, dtype=np.uint8))
        # Transparency, palettes, 16 bits: decoded as the same picture in a file would be.
        file = io.BytesIO()
        image.save(file, format="PNG")
        return name, file.getvalue()
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be read: {error}; open the image again") from error


def _named_file(file: Any, number: int) -> Named:
    name = str(getattr(file, "name", f"photo {number}"))
    try:
        content = file.read()
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: cannot be read: {error}; open the file again, or give its path") from error
    if not isinstance(content, bytes):
        raise ImageError(f"{name}: the file gives {type(content).__name__}, not bytes; open it with mode 'rb'")
    return name, content

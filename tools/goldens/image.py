"""Makes the image fixtures of crates/candor/tests/data/image and Pillow's results for them.

Every picture is synthetic and seeded. `python tools/goldens/image.py` rewrites all of them; the tests in
crates/candor/tests/image_*.rs read them.

    resize/source.png             37 wide, 53 high: gradients, noise and hard edges
    resize/<image>_<filter>_<H>x<W>.png   Pillow's Image.resize of it; <image> is `source`, or `large`, which
                                  the test makes itself from the formula in `large()`
    resize/floats.json            Pillow's Image.resize of the red channel of `source`, a third of it as floats (mode F):
                                  <filter>_<H>x<W> → values, row-major
    crop/<H>x<W>_<size>.png       torchvision's Resize(size*256/224) + CenterCrop(size), written with Pillow
    decode/<name>.<ext>           one file per format and special case; <name>_expected.png has the expected pixels
    if they are not the file's own
"""

import io
import math

import numpy as np
import PIL
from PIL import Image

from candor_tools.checkout import ROOT
from candor_tools.golden_file import float32_list, write_json

# Pillow 13 resizes the columns first if that is cheaper, which changes many pixels by a level and some by
# thirty. Models were trained with the rows-first order of earlier versions, which these references use.
assert int(PIL.__version__.split(".")[0]) < 13, f"Pillow {PIL.__version__}: see tools/pyproject.toml"

OUT = ROOT / "crates/candor/tests/data/image"
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# (height, width) of the results: smaller, slightly smaller, larger, one side only, and both directions at once.
SIZES = [(8, 8), (24, 31), (80, 64), (53, 20), (20, 37), (16, 60)]


def source() -> np.ndarray:
    """53x37x3: gradients, noise and hard edges (which make bicubic and Lanczos over- and undershoot)."""
    rng = np.random.default_rng(20)
    y, x = np.mgrid[0:53, 0:37]
    a = np.stack([x * 255 / 36, y * 255 / 52, (x + y) * 255 / 88], -1) + rng.normal(0, 12, (53, 37, 3))
    a[10:20, 5:15] = (255, 255, 255)
    a[12:18, 8:11] = (0, 0, 0)
    a[30:50, 20:35] = rng.integers(0, 2, (20, 15, 1)) * 255
    return a.round().clip(0, 255).astype(np.uint8)


def large() -> np.ndarray:
    """480x640x3, computed with integers only, so that the test can make it without a file."""
    y, x = np.mgrid[0:480, 0:640]
    r = (x * 5 + y * 3 + (x * y) // 7) % 256
    g = (x // 3 + (y * y) // 11) % 256
    b = ((x // 40 + y // 30) % 2) * 255
    return np.stack([r, g, b], -1).astype(np.uint8)


def save(image: Image.Image, name: str) -> None:
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def resize_goldens() -> None:
    small, big = Image.fromarray(source()), Image.fromarray(large())
    save(small, "resize/source.png")
    for name, resample in FILTERS.items():
        for h, w in SIZES:
            save(small.resize((w, h), resample), f"resize/source_{name}_{h}x{w}.png")
        for h, w in [(32, 32), (56, 75)]:
            save(big.resize((w, h), resample), f"resize/large_{name}_{h}x{w}.png")


def float_goldens() -> None:
    picture = Image.fromarray(source()[:, :, 0].astype(np.float32) / np.float32(3))
    sizes = [(8, 8), (16, 12), (60, 9)]
    resized = {f"{name}_{h}x{w}": picture.resize((w, h), r) for name, r in FILTERS.items() for h, w in sizes}
    write_json(OUT / "resize/floats.json", {name: float32_list(np.asarray(image)) for name, image in resized.items()})


def resize_and_centre_crop(image: Image.Image, size: int) -> Image.Image:
    """torchvision.transforms.Resize(floor(size / 0.875)) then CenterCrop(size), for PIL images.

    Resize: the short side becomes `short`, the long one int(short * long / short side).
    CenterCrop: top and left are int(round((side - size) / 2.0)), Python's round (half to even).
    """
    short = math.floor(size / 0.875)
    w, h = image.size
    new_w, new_h = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    image = image.resize((new_w, new_h), Image.Resampling.BILINEAR)
    top, left = int(round((new_h - size) / 2.0)), int(round((new_w - size) / 2.0))
    return image.crop((left, top, left + size, top + size))


def crop_goldens() -> None:
    big = Image.fromarray(large())
    # Odd and even margins on both sides of a half, portrait and landscape, square, enlarged and reduced.
    for h, w in [(480, 640), (375, 500), (333, 250), (53, 37), (97, 97), (20, 61), (64, 201)]:
        for size in [32, 28, 45]:
            crop = resize_and_centre_crop(big.crop((0, 0, w, h)), size)
            save(crop, f"crop/{h}x{w}_{size}.png")


def blocks() -> Image.Image:
    """24x16: flat 8x8 blocks of six colours, which JPEG keeps almost exactly, and no symmetry."""
    colours = [(220, 30, 40), (30, 200, 60), (40, 60, 210), (230, 210, 50), (20, 20, 20), (240, 240, 240)]
    a = np.zeros((16, 24, 3), np.uint8)
    for i, colour in enumerate(colours):
        a[8 * (i // 3) : 8 * (i // 3) + 8, 8 * (i % 3) : 8 * (i % 3) + 8] = colour
    return Image.fromarray(a)


def decode_fixtures() -> None:
    folder = OUT / "decode"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(21)
    photo = Image.fromarray(source()[:24, :19])
    save(photo, "decode/rgb.png")
    photo.save(folder / "rgb.webp", lossless=True)
    photo.save(folder / "rgb.bmp")
    photo.save(folder / "rgb.tiff", compression="tiff_lzw")
    save(photo.convert("L"), "decode/grey.png")
    save(photo.convert("L").convert("RGB"), "decode/grey_expected.png")
    palette = photo.quantize(16, dither=Image.Dither.NONE)
    save(palette, "decode/palette.png")
    save(palette.convert("RGB"), "decode/palette_expected.png")

    # Alpha: composited over white. Also as a palette with a transparent entry and as grey + alpha.
    alpha = Image.fromarray(rng.integers(0, 256, (24, 19), dtype=np.uint8))
    rgba = photo.copy()
    rgba.putalpha(alpha)
    save(rgba, "decode/alpha.png")
    white = Image.new("RGB", photo.size, "white")
    white.paste(photo, mask=alpha)
    save(white, "decode/alpha_expected.png")
    grey_alpha = Image.merge("LA", (photo.convert("L"), alpha))
    save(grey_alpha, "decode/grey_alpha.png")
    white = Image.new("L", photo.size, "white")
    white.paste(photo.convert("L"), mask=alpha)
    save(white.convert("RGB"), "decode/grey_alpha_expected.png")

    # 16 bits: v / 257 rounded. (Pillow has no single convention here; the expected values are computed with numpy.)
    grey16 = rng.integers(0, 65536, (24, 19), dtype=np.uint16)
    Image.fromarray(grey16).save(folder / "grey16.png")
    save(Image.fromarray(((grey16.astype(np.uint32) + 128) // 257).astype(np.uint8)), "decode/grey16_expected.png")

    # An animation: the first frame counts.
    first = photo.quantize(32, dither=Image.Dither.NONE)
    others = [Image.new("RGB", photo.size, c).quantize(2) for c in ("red", "blue")]
    first.save(folder / "animation.gif", save_all=True, append_images=others, duration=100)
    with Image.open(folder / "animation.gif") as gif:
        save(gif.convert("RGB"), "decode/animation_expected.png")

    # JPEG: baseline, progressive, grey and CMYK, as decoded by Pillow (libjpeg-turbo).
    for name, image, options in [
        ("jpeg", photo, {}),
        ("jpeg_progressive", photo, {"progressive": True}),
        ("jpeg_420", photo, {"subsampling": 2}),
        ("jpeg_grey", photo.convert("L"), {}),
        ("jpeg_cmyk", blocks().convert("CMYK"), {}),
    ]:
        image.save(folder / f"{name}.jpg", **({"quality": 95, "subsampling": 0} | options))
        with Image.open(folder / f"{name}.jpg") as jpeg:
            save(jpeg.convert("RGB"), f"decode/{name}_expected.png")

    # EXIF orientation 1..8: the stored pixels differ, the upright picture is always the same.
    upright = blocks()
    save(upright, "decode/upright.png")
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    for orientation in range(1, 9):
        stored = upright.transpose(undo[orientation]) if orientation in undo else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(folder / f"orientation{orientation}.jpg", quality=95, subsampling=0, exif=exif)
        if orientation in (6, 7):
            stored.save(folder / f"orientation{orientation}.png", exif=exif)
            stored.save(folder / f"orientation{orientation}.webp", lossless=True, exif=exif)


def embedded_thumbnail() -> None:
    """A JPEG whose EXIF block contains a whole small JPEG: its end marker must not count as the photo's."""
    thumbnail = io.BytesIO()
    blocks().resize((12, 8)).save(thumbnail, "JPEG")
    photo = io.BytesIO()
    blocks().save(photo, "JPEG", quality=95, subsampling=0)
    body = b"Exif\0\0" + thumbnail.getvalue()
    data = photo.getvalue()
    app1 = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    (OUT / "decode/jpeg_thumbnail.jpg").write_bytes(data[:2] + app1 + data[2:])


if __name__ == "__main__":
    resize_goldens()
    float_goldens()
    crop_goldens()
    decode_fixtures()
    embedded_thumbnail()
    print(sum(p.stat().st_size for p in OUT.rglob("*") if p.is_file()), "bytes in", OUT.name)

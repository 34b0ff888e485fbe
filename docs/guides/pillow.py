# %% [markdown]
# # A photo edited with Pillow
#
# Somebody has turned a photo, warmed its colours, and changed contrast and saturation. Which settings were it? The
# renderer is Pillow; it returns a picture of Pillow, and the parameters have names.

# %%
from PIL import Image, ImageEnhance
from skimage.data import astronaut

import zg

photo = Image.fromarray(astronaut()).crop((70, 0, 390, 240)).resize((160, 120))


def edit(angle, contrast, saturation, warmth):
    turned = photo.rotate(angle, resample=Image.Resampling.BICUBIC)
    red, green, blue = ImageEnhance.Color(turned).enhance(saturation).split()
    warm = Image.merge("RGB", (red.point(lambda v: v * warmth), green, blue.point(lambda v: v / warmth)))
    return ImageEnhance.Contrast(warm).enhance(contrast)


edited = edit(angle=17, contrast=0.7, saturation=1.6, warmth=1.15)
result = zg.optimize(
    edit,
    x0={"angle": 0.0, "contrast": 1.0, "saturation": 1.0, "warmth": 1.0},
    bounds={"angle": (-45, 45), "contrast": (0.3, 2), "saturation": (0, 2), "warmth": (0.7, 1.4)},
    reference=edited,
    max_renders=250,
)
result.show()

# %%
for name, found in result.params.items():
    print(f"{name:10} {found:7.3f}")

# %% [markdown]
# The settings were 17°, 0.7, 1.6 and 1.15. The default method sees the picture and learns a surrogate of it ([how it
# works](../surrogates/picture.md)), so that four parameters take few renders.

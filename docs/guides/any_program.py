# %% [markdown]
# # Any program: C, POV-Ray
#
# A program that takes numbers and writes a picture is a renderer. The first one is 20 lines of C: a planet in the light
# of its sun. The second one is POV-Ray.

# %% tags=["needs-cc"]
import io
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

import zg

Path("planet.c").write_text(r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **word) {
    double radius = atof(word[1]), azimuth = atof(word[2]), height = atof(word[3]), bands = atof(word[4]);
    double sun[3] = {cos(height) * sin(azimuth), sin(height), cos(height) * cos(azimuth)};
    printf("P6 96 96 255\n");
    for (int i = 0; i < 96; i++)
        for (int j = 0; j < 96; j++) {
            double x = (j - 47.5) / 48, y = (47.5 - i) / 48, light = 0;
            double z = radius * radius - x * x - y * y;
            if (z > 0)
                light = fmax(0.04, (x * sun[0] + y * sun[1] + sqrt(z) * sun[2]) / radius);
            double stripe = 0.75 + 0.25 * sin(bands * y);
            putchar(255 * light), putchar(200 * light * stripe), putchar(120 * light * stripe * stripe);
        }
    return 0;
}
""")
subprocess.run(["cc", "-O2", "-o", "planet", "planet.c", "-lm"], check=True)


def planet(x):
    words = ["./planet", *(str(value) for value in x)]
    return Image.open(io.BytesIO(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout))


photo = planet([0.8, -1.0, 0.5, 14.0])
result = zg.optimize(
    planet,
    x0=np.array([0.6, 0.3, 0.0, 11.0]),
    bounds=[(0.3, 0.95), (-1.5, 1.5), (-1, 1), (5, 20)],
    reference=photo,
    max_renders=300,
)
result.show()

# %% tags=["needs-cc"]
print(result.x.round(2), "for 0.8, -1, 0.5, 14")

# %% [markdown]
# With `workers=8`, eight programs run at once.
#
# A program that writes an image file needs no Python: a YAML says its command line, and `zg fit` runs it, in processes
# with a time-out. [external_demo.yaml](../../configs/external_demo.yaml) does so for POV-Ray and a vase, whose profile,
# glaze and light are to be found.

# %% tags=["needs-povray"]
from zg.cli.main import main

words = "fit --config configs/external_demo.yaml --max-renders 60 --video false --wandb disabled"
main([*words.split(), "--out", "vase"])
Image.open("vase/panel.png")

# %% [markdown]
# All that a YAML can say of a program: [your own renderer](../renderers.md#any-program-a-yaml).

"""A program that draws a disk: draw.py OUTPUT [--file PARAMETERS] [--words ACROSS DOWN COUNT] [--fault FAULT]."""

import json
import sys
import time

import numpy as np

SIZE = 16


def draw(across, down, count):
    rows, columns = np.mgrid[:SIZE, :SIZE] / SIZE
    disk = np.hypot(columns - across, rows - down) < 0.25
    return np.stack([disk, disk * 0.5, np.full_like(rows, count / 10)], axis=-1)


def main(output, *words):
    options = {}
    while words:
        length = 4 if words[0] == "--words" else 2
        options[words[0]], words = words[1:length], words[length:]
    if "--words" in options:
        across, down, count = options["--words"]
    else:
        with open(options["--file"][0]) if "--file" in options else sys.stdin as file:
            given = json.load(file)
        (across, down), count = given["position"], given["count"]
        assert isinstance(count, int)
    fault = options.get("--fault", [""])[0]
    if fault == "fail":
        sys.exit("no licence\nfor this machine")
    if fault == "hang":
        time.sleep(600)
    if fault == "nothing" or (fault == "half" and float(across) > 0.5):
        return
    image = draw(float(across), float(down), int(count))
    if output.endswith("npy"):
        np.save(output, image)
    elif output.endswith("exr"):
        import OpenEXR

        pixels = {"RGB": (100 * image).astype(np.float32)}
        OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, pixels).write(output)
    else:
        import imageio.v3 as imageio

        imageio.imwrite(output, (255 * image).round().astype(np.uint8))


if __name__ == "__main__":
    main(*sys.argv[1:])

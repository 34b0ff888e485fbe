"""A user's scene file for Mitsuba: the bundled Cornell box, where x[0] is the x of the light."""

import mitsuba as mi
import numpy as np


class Renderer:
    def __init__(self, size, samples, variant="scalar_rgb"):
        mi.set_variant(variant)
        description = mi.cornell_box()
        description["sensor"]["film"].update(width=size, height=size, rfilter={"type": "box"})
        self.samples = samples
        self.scene = mi.load_dict(description, optimize=False)
        self.parameters = mi.traverse(self.scene)

    def version(self):
        return f"Mitsuba {mi.__version__}"

    def render(self, x, seed):
        place = mi.ScalarTransform4f().translate([x[0], 0.99, 0.01]).rotate([1, 0, 0], 90).scale([0.23, 0.19, 0.19])
        self.parameters["light.to_world"] = place
        self.parameters.update()
        return np.moveaxis(np.asarray(mi.render(self.scene, spp=self.samples, seed=seed)), -1, 0)


def load(settings):
    return Renderer(**settings)

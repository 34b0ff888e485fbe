"""The common part of Blender scenes: an empty scene, an engine, meshes with vertex colours, and the rendered pixels.

It runs inside Blender 3.4 or later. Blender does not give rendered pixels to a script, but it can save a file. So it
saves an uncompressed image to a file in memory, and no disk is used.
"""

import os
import tempfile
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

OLDEST = (3, 4, 0)
HEADER = 18  # bytes before the pixels of an uncompressed TARGA file
COLOUR = "colour"  # name of the vertex colours


def version() -> str:
    """Blender's version."""
    return str(bpy.app.version_string)


class Stage:
    """An empty scene that renders display values (sRGB).

    settings: `engine` (workbench or cycles), `width` and `height` in pixels, `oversample`: samples along each side of a
    pixel.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        if bpy.app.version < OLDEST:
            raise RuntimeError(f"needs Blender {'.'.join(map(str, OLDEST[:2]))} or later, got {version()}")
        self.width, self.height = settings["width"], settings["height"]
        self.engine, self.oversample = settings["engine"], settings["oversample"]
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self.scene.world = bpy.data.worlds.new("world")
        self.scene.view_settings.view_transform = "Standard"
        # Workbench draws the scene once for each sample of a pixel. A larger picture is cheaper.
        self.grown = 1 if self.engine == "cycles" else self.oversample
        if self.engine == "cycles":
            self._use_cycles()
        else:
            self._use_workbench()
        self._save_to_memory()

    def _use_workbench(self) -> None:
        self.scene.render.engine = "BLENDER_WORKBENCH"
        self.scene.display.render_aa = "OFF"
        shading = self.scene.display.shading
        shading.color_type, shading.background_type = "VERTEX", "WORLD"

    def _use_cycles(self) -> None:
        self.scene.render.engine = "CYCLES"
        self.scene.render.threads_mode, self.scene.render.threads = "FIXED", 1  # workers share the cores
        cycles = self.scene.cycles
        cycles.device, cycles.samples, cycles.max_bounces = "CPU", self.oversample**2, 2
        cycles.use_adaptive_sampling = cycles.use_denoising = False

    def _save_to_memory(self) -> None:
        render = self.scene.render
        render.resolution_x, render.resolution_y = self.grown * self.width, self.grown * self.height
        render.resolution_percentage = 100
        render.image_settings.file_format, render.image_settings.color_mode = "TARGA_RAW", "RGB"
        render.use_file_extension = False
        if hasattr(os, "memfd_create"):
            self.file = os.memfd_create("render")
            render.filepath = f"/proc/self/fd/{self.file}"
        else:
            self.file, render.filepath = tempfile.mkstemp()

    def background(self, colour: tuple[float, float, float]) -> None:
        """Set the colour of the background, linear RGB. In Cycles it is also light from all directions."""
        world = self.scene.world
        world.color = colour
        nodes, links = _nodes(world)
        light, output = nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeOutputWorld")
        light.inputs["Color"].default_value = (*colour, 1.0)
        links.new(light.outputs[0], output.inputs["Surface"])

    def camera(self, place: tuple[float, ...], target: tuple[float, ...], lens: float) -> None:
        """Look from `place` at `target`. lens: focal length in mm, for a film 36 mm wide."""
        data = bpy.data.cameras.new("camera")
        data.lens = lens
        self.scene.camera = self._add("camera", data)
        self.scene.camera.location = place
        self.scene.camera.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()

    def flat(self) -> str:
        """Show vertex colours without lighting. Returns the shader for `mesh`."""
        self.scene.display.shading.light = "FLAT"
        return "ShaderNodeEmission"

    def lit(self, sun: tuple[float, ...], strength: float) -> str:
        """Light vertex colours: in Cycles by a sun along `sun`, else by Workbench. Returns the shader for `mesh`."""
        self.scene.display.shading.light = "STUDIO"
        light = bpy.data.lights.new("sun", "SUN")
        light.energy = strength
        self._add("sun", light).rotation_euler = Vector(sun).to_track_quat("-Z", "Y").to_euler()
        return "ShaderNodeBsdfDiffuse"

    def mesh(self, name: str, shader: str) -> "Mesh":
        """A new, empty mesh. shader: what `flat` or `lit` returned."""
        data = bpy.data.meshes.new(name)
        data.materials.append(_material(shader))
        self._add(name, data)
        return Mesh(data)

    def _add(self, name: str, data: Any) -> Any:
        thing = bpy.data.objects.new(name, data)
        self.scene.collection.objects.link(thing)
        return thing

    def render(self, seed: int) -> np.ndarray:
        """The image [3, H, W] in [0, 1], float32."""
        if self.engine == "cycles":
            self.scene.cycles.seed = seed % 2**31
        os.ftruncate(self.file, 0)
        bpy.ops.render.render(write_still=True)
        height, width, part = self.height, self.width, self.grown
        size = 3 * height * width * part**2
        saved = os.pread(self.file, size, HEADER)
        if len(saved) != size:
            raise RuntimeError(f"Blender saved {len(saved)} bytes of pixels, expected {size}")
        pixels = np.frombuffer(saved, np.uint8).reshape(height, part, width, part, 3)[::-1, ..., ::-1]
        picture = np.zeros((height, width, 3), np.uint32)
        for row in range(part):
            for column in range(part):
                picture += pixels[:, row, :, column]
        return np.multiply(picture.transpose(2, 0, 1), 1 / (255 * part**2), dtype=np.float32)


class Mesh:
    """A mesh whose faces all have the same number of corners, with a colour for each vertex."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def build(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        """Replace the geometry: vertices [V, 3], faces [F, k] of vertex indices."""
        data = self.data
        data.clear_geometry()
        data.vertices.add(len(vertices))
        data.loops.add(faces.size)
        data.polygons.add(len(faces))
        data.vertices.foreach_set("co", np.ascontiguousarray(vertices, np.float32).reshape(-1))
        data.loops.foreach_set("vertex_index", np.ascontiguousarray(faces, np.int32).reshape(-1))
        data.polygons.foreach_set("loop_start", np.arange(0, faces.size, faces.shape[1], dtype=np.int32))
        if bpy.app.version < (3, 6, 0):  # later versions compute it
            data.polygons.foreach_set("loop_total", np.full(len(faces), faces.shape[1], np.int32))
        data.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
        data.update(calc_edges=True)
        self.colours = np.ones((len(vertices), 4), np.float32)
        data.color_attributes.active_color = data.color_attributes.new(COLOUR, "FLOAT_COLOR", "POINT")

    def paint(self, colours: np.ndarray) -> None:
        """Set the colours of vertices [V, 3], linear RGB."""
        self.colours[:, :3] = colours
        self.data.color_attributes[COLOUR].data.foreach_set("color", self.colours.reshape(-1))
        self.data.update_tag()


def _material(shader: str) -> Any:
    """A material that shows vertex colours by a shader in Cycles. An emitting surface lights no other: that is slow."""
    material = bpy.data.materials.new(shader)
    nodes, links = _nodes(material)
    kinds = ("ShaderNodeAttribute", shader, "ShaderNodeOutputMaterial")
    colour, surface, output = (nodes.new(kind) for kind in kinds)
    colour.attribute_name = COLOUR
    links.new(colour.outputs["Color"], surface.inputs["Color"])
    links.new(surface.outputs[0], output.inputs["Surface"])
    if bpy.app.version < (3, 5, 0):
        material.cycles.sample_as_light = False
    else:
        material.cycles.emission_sampling = "NONE"
    return material


def _nodes(owner: Any) -> tuple[Any, Any]:
    """The nodes of a world or material, which are removed, and the links between them."""
    if bpy.app.version < (5, 0, 0):  # later versions always use nodes
        owner.use_nodes = True
    owner.node_tree.nodes.clear()
    return owner.node_tree.nodes, owner.node_tree.links


def number_grid(first: int, rows: int, columns: int) -> np.ndarray:
    """Quads [(rows − 1) · (columns − 1), 4] of a grid of vertices with indices from `first` on, row by row."""
    number = first + np.arange(rows * columns).reshape(rows, columns)
    quads = np.stack([number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]], -1)
    return quads.reshape(-1, 4)

// A vase turned on a wheel: Declare=NAME=VALUE gives r0 … r6 (radii from foot to lip), belt0 and belt1 (where its
// glazed belt begins, and how high it is), glaze0 … glaze2 (its colour), and turn (of the light about the vertical,
// degrees).
#version 3.7;
global_settings { assumed_gamma 1 }
camera { location <0, 3.2, -6.2> look_at <0, 1.15, 0> angle 34 right x * image_width / image_height }
light_source { <8 * sin(radians(turn)), 7, -8 * cos(radians(turn))> rgb 1.1 }
light_source { <0, 6, -10> rgb 0.25 shadowless }
plane { y, 0 pigment { checker rgb <0.75, 0.7, 0.62> rgb <0.55, 0.5, 0.45> scale 0.8 } }
plane { z, 6 pigment { rgb <0.6, 0.68, 0.75> } }
#declare Clay = rgb <0.9, 0.87, 0.8>;
#declare Glaze = rgb <glaze0, glaze1, glaze2>;
#declare Low = belt0 / 4;
#declare High = (belt0 + belt1) / 4;
sor {
  9, <r0, -0.4>, <r0, 0>, <r1, 0.4>, <r2, 0.8>, <r3, 1.2>, <r4, 1.6>, <r5, 2>, <r6, 2.4>, <r6, 2.8>
  open
  pigment {
    gradient y
    color_map { [0 Clay] [Low Clay] [Low Glaze] [High Glaze] [High Clay] [1 Clay] }
    scale 4
  }
  finish { phong 0.6 phong_size 40 }
}

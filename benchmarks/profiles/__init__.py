"""Data profiles of methods on problems that nobody chose for them: the zoo, and BBOB. docs/profiles.md explains it.

python -m benchmarks.profiles zoo --half development --instances 1 2 3
python -m benchmarks.profiles zoo --half held_out
python -m benchmarks.profiles bbob
python -m benchmarks.profiles table FILE
"""

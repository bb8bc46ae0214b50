"""Studies of the method itself, each of hours on two cores, which go on where they ended.

A study trains small networks in processes of one thread, without Ray, and notes every finished
training in its folder; started again, it does those that are missing. `docs/experiments.md` is
about them.
"""

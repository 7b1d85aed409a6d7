"""`python -m craft_ray` is the command `craft-ray`."""

from craft_ray.cli import main

main()

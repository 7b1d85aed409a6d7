"""`python -m craft_ray` is the command `craft-ray`."""

from craft_ray.cli.app import main

main()

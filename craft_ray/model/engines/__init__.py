"""Engines run the network on a batch: one file per engine, and one entry here."""

from craft_ray.model.engines import openvino, stand_in, torch

ENGINES = {spec.name: spec for spec in (openvino.SPEC, torch.SPEC, stand_in.SPEC)}
"""Every engine by name. `auto` takes the first that runs on the device."""

"""What the largest arrays of a run would take, from settings alone. Free of torch."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ris_pipeline._errors import InputError

if TYPE_CHECKING:
    from ris_pipeline.config.learning import Settings
    from ris_pipeline.config.scenario import Scenario

LARGEST = 2**33
"""Bytes of the largest array that a run may ask for, 8 GiB."""

_DENSITY = 2
"""Points a beamwidth of the search grid."""

_COMPLEX, _REAL, _SINGLE = 16, 8, 4


def check_memory(arrays: Mapping[str, float]) -> None:
    """Raise `ValueError` if an array, named with its bytes, is beyond `LARGEST`."""
    for name, size in arrays.items():
        if size > LARGEST:
            shown = f"{size / 2**30:.3g}" if size < 1e300 else "any number of"
            raise ValueError(f"{name} would take {shown} GiB: allowed are {LARGEST >> 30}")


def scene_arrays(scenario: "Scenario") -> dict[str, float]:
    """Arrays of one scene: they grow with the panel, the codes and the search grid."""
    n, codes = scenario.elements, scenario.blocks * scenario.codes
    book = max(codes, math.prod(scenario.dft_shape))
    if scenario.codebook == "hadamard":
        book = max(book, 1 << (n - 1).bit_length())
    return {
        f"panel = {list(scenario.panel)}: a covariance": float(_COMPLEX * n * n),
        f"panel = {list(scenario.panel)}: its codes": float(_COMPLEX * n * book),
        f"antennas = {scenario.antennas}, codes = {scenario.codes}, blocks = {scenario.blocks}: "
        "the sensing matrix": float(_COMPLEX * n * codes * scenario.antennas),
        f"panel = {list(scenario.panel)}, distance = {list(scenario.distance)}: the search grid": (
            _REAL * scenario.blocks * _grid_points(scenario)
        ),
    }


def _grid_points(scenario: "Scenario") -> float:
    """At most so many on a regular panel: even in u and v, in 1/r as the depth of focus asks."""
    (n_h, n_v), (d_h, d_v) = scenario.panel, scenario.spacing
    points = 1.0
    for count, spacing, limits in (
        (n_h, d_h, scenario.azimuth_deg),
        (n_v, d_v, scenario.elevation_deg),
    ):
        low, high = (math.sin(math.radians(limit)) for limit in limits)
        points *= _DENSITY * (high - low) * max(0.5, count * spacing) + 2
    if scenario.positions is not None:
        # `panel` is their number alone, and `spacing` means nothing.
        return 0.0
    near, far = scenario.distance
    corner = scenario.wavelength * math.hypot((n_h - 1) * d_h, (n_v - 1) * d_v) / 2
    depths = _DENSITY * (1 / near - 1 / far) * (corner / scenario.wavelength) * corner / 2
    return points * (depths + 2)


def check_training_memory(settings: "Settings") -> None:
    """Raise `InputError` if a batch or the network of a training is beyond `LARGEST`."""
    model, training, scenario = settings.model, settings.training, settings.scenario
    cells, layers = math.prod(model.cells), model.stages * (model.conv_blocks + 1)
    batch = f"training.batch_size = {training.batch_size}"
    rows = scenario.blocks * scenario.codes
    per_scene = scenario.antennas * max(scenario.elements, rows)
    per_scene += scenario.elements * min(scenario.elements, rows * scenario.antennas)
    layer = training.batch_size * cells * max(model.width, model.depths)
    network = 9 * model.width * (model.width + model.depths) * layers
    steering = 2 * cells * model.depths * scenario.elements
    try:
        check_memory(
            {
                f"{batch}: its scenes": float(2 * _SINGLE * training.batch_size * per_scene),
                f"{batch}, model.cells = {list(model.cells)}, model.width = {model.width}: a layer "
                "of the network": float(_SINGLE * layer),
                f"model.width = {model.width}, model.stages = {model.stages}, model.conv_blocks = "
                f"{model.conv_blocks}: the network": float(_SINGLE * network),
                f"model.cells = {list(model.cells)}, model.depths = {model.depths}: their steering "
                "vectors": float(_SINGLE * steering),
            }
        )
    except ValueError as error:
        raise InputError(str(error)) from None

"""What every group of settings is made of: frozen, validated at construction, in one clear line."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ris_pipeline._errors import InputError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[float, float]

_M = TypeVar("_M", bound=BaseModel)


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some fields changed.

        Raises:
            InputError: a value outside its range.
        """
        return validated(type(self), {**dict(self), **changes})


def check_interval(name: str, interval: Interval, low: float, high: float) -> None:
    if not low <= interval[0] <= interval[1] <= high:
        raise ValueError(
            f"{name} = {list(interval)}: allowed is {low} <= first <= second <= {high}"
        )


def validated(model: type[_M], tree: Mapping[str, Any]) -> _M:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            allowed = _allowed_keys(model, first["loc"][:-1])
            raise InputError(f"{key}: no such setting; {allowed}") from None
        if first["type"] == "value_error":
            raise InputError(f"{key + ': ' if key else ''}{message}") from None
        raise InputError(f"{key} = {first['input']!r}: {message}") from None


def _allowed_keys(model: Any, path: Sequence[str | int]) -> str:
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    fields = getattr(model, "model_fields", None)
    return f"allowed are {', '.join(fields)}" if fields else "see ris_pipeline/config"

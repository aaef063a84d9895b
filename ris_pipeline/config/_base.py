"""What every group of settings is made of: frozen, validated at construction, in one clear line."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from ris_pipeline._errors import InputError, shown


def _plain(value: Any) -> Any:
    # Numpy's whole numbers are whole numbers; a truth value is none.
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


Integer = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63), BeforeValidator(_plain)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
Positive = Annotated[Real, Field(gt=0)]
NonNegative = Annotated[Real, Field(ge=0)]
Count = Annotated[Integer, Field(ge=1)]
Fraction = Annotated[Real, Field(ge=0, le=1)]
Interval = tuple[Real, Real]

_SHOWN = 60
"""Characters of a value that an error shows."""

_LISTED = 3
"""Faults that one line lists."""

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
    """An instance of a model.

    Raises:
        InputError: one line with every key and value that is not allowed.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        faults = [_fault(model, detail) for detail in error.errors(include_url=False)]
        said = "; ".join(faults[:_LISTED])
        more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
        raise InputError(said + more) from None


def _fault(model: Any, detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        leaf = str(detail["loc"][-1])
        return (
            f"{shown_key(key)}: no such setting; {_allowed_keys(model, detail['loc'][:-1], leaf)}"
        )
    if detail["type"] == "value_error":
        return f"{key + ': ' if key else ''}{message}"
    return f"{shown_key(key)} = {shown(detail['input'])}: {message}"


def shown_key(key: str) -> str:
    """A key, cut where it is longer than any key is."""
    return key if len(key) <= 2 * _SHOWN else f"{key[: 2 * _SHOWN]}..."


def _allowed_keys(model: Any, path: Sequence[str | int], leaf: str) -> str:
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    fields = getattr(model, "model_fields", None)
    if not fields:
        return "see ris_pipeline/config"
    close = get_close_matches(leaf[:_SHOWN], fields, 1)
    return f"did you mean {close[0]}?" if close else f"allowed are {', '.join(fields)}"

"""Names of laws, as files have them and as verdicts print them; free of torch."""

from collections.abc import Collection
from difflib import get_close_matches

from ris_pipeline._errors import InputError


def plain(name: str) -> str:
    """A test's name as words."""
    return name.removeprefix("test_").replace("_", " ")


def title(law: str) -> str:
    """`gap sign: the gap is never negative`, as verdicts print it."""
    file, _, test = law.partition("::")
    return f"{plain(file)}: {plain(test)}"


def law_named(text: str, laws: Collection[str]) -> str:
    """The law of that name, `file::test` or as verdicts print it.

    Raises:
        InputError: it is none; the line says which is near.
    """
    titles = {title(law): law for law in laws}
    if text in laws or text in titles:
        return titles.get(text, text)
    near = get_close_matches(text, [*laws, *titles], n=1, cutoff=0.3)
    said = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"law {text!r}: no such law of this function{said}")

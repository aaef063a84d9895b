"""For every folder of tests: pytest's own test kit, the hypothesis profiles of quick runs."""

from hypothesis import Phase, settings

pytest_plugins = ["pytester"]

# Cheap and the same for every mutant: a mutant that lives must not owe it to the dice, and how
# prettily it dies is of no interest.
settings.register_profile(
    "mutation",
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.generate),
)

# A look at every law: a mistake that shows in most examples shows in a few.
settings.register_profile("fast", max_examples=4, derandomize=True, database=None, deadline=None)

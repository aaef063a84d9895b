"""The judge of the mutation score is judged too."""

from score import Verdict, added_lines, function_of, judge, load_reasons, parse_results

RESULTS = "    ris_pipeline.a.x_f__mutmut_1: killed\n    ris_pipeline.a.x_f__mutmut_2: survived\n"
CHANGE = ("a.f", "return 2")


def verdict(killed: int, survived: int, reasons: dict) -> Verdict:
    statuses = {f"ris_pipeline.a.x_f__mutmut_{i}": "killed" for i in range(killed)}
    for i in range(survived):
        statuses[f"ris_pipeline.a.x_f__mutmut_{killed + i}"] = "survived"
    return judge(statuses, [CHANGE] * survived, reasons)


def test_names_and_diffs_are_read() -> None:
    statuses = parse_results(RESULTS)
    assert list(statuses.values()) == ["killed", "survived"]
    assert {function_of(name) for name in statuses} == {"a.f"}
    method = "ris_pipeline.spectral.low_rank.xǁLowRankCovarianceǁapply__mutmut_3"
    assert function_of(method) == "spectral.low_rank.LowRankCovariance.apply"
    diff = "# a: survived\n--- a.py\n+++ a.py\n@@ -1 +1 @@\n-    return 1\n+    return 2\n"
    assert added_lines(diff) == "return 2"


def test_it_passes_and_fails() -> None:
    known = {CHANGE: "the same"}
    assert verdict(9, 1, known) == Verdict(
        f"{'ris_pipeline.a':40}     9 of    10 killed\n"
        "mutation score 90.0%: 9 of 10 killed, 90% asked for",
        passed=True,
    )
    assert not verdict(8, 2, known).passed
    assert not verdict(0, 0, known).passed
    unknown = verdict(9, 1, {})
    assert not unknown.passed
    assert "survivor without a reason: a.f: return 2" in unknown.text
    assert "no longer a survivor: a.f: return 2" in verdict(10, 0, known).text


def test_every_reason_is_one() -> None:
    assert all(len(reason) > 10 for reason in load_reasons().values())

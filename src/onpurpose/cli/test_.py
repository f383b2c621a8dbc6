"""`onpurpose test`: run policy test files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from os.path import normpath
from pathlib import Path

import click

from onpurpose.app.history import CaseResult, CaseRun, RuleCoverage, run_cases
from onpurpose.cli.check import TEST_SUFFIX
from onpurpose.cli.output import Exit, count, say, say_json, verb_options
from onpurpose.core.compile import CompiledPolicy, compile_policy
from onpurpose.core.result import Result
from onpurpose.core.span import PolicyError, Problem, Span
from onpurpose.lang.cases import parse_cases
from onpurpose.lang.read import load, read_bytes

_LISTED = 20


@click.command("test")
@click.argument("tests", metavar="FILE|DIR...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--min-coverage", metavar="PERCENT", type=click.FloatRange(0, 100), default=0,
    help="Exit with 1 if fewer of the rules were seen both to fire and not to.",
)  # fmt: skip
@verb_options
def test_(tests: tuple[Path, ...], min_coverage: float, as_json: bool) -> Exit:
    """Run policy test files.

    Of a DIR, all *.test.yaml in it and the folders in it are run. Prints each failure with its place,
    and how many rules fired in one case and did not in another (a rule without conditions need only
    fire). A failing case, or none at all, exits with 1.
    """
    files = list(dict.fromkeys(file for path in tests for file in _files(path)))
    runs = _run(files)
    coverage = _merged(runs)
    failed = [result for run in runs for result in run.results if not result.passed]
    percent = 100 * sum(rule.both_ways for rule in coverage) / len(coverage) if coverage else 100
    if as_json:
        say_json(_json(runs, failed, coverage, percent))
    elif runs:
        say("\n".join(_lines(runs, failed, coverage, percent)))
        if percent < min_coverage:
            say(f"the coverage of {percent:.0f} % is below the {min_coverage:g} % asked for", err=True)
    if not runs:
        say("there are no tests: a test file is named *.test.yaml; `onpurpose init` writes a first one", err=True)
    return Exit.FINDINGS if failed or not runs or percent < min_coverage else Exit.FINE


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob(f"*{TEST_SUFFIX}"))
    return [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]


def _run(files: list[Path]) -> list[CaseRun]:
    """Every file's cases decided by the policy that it names; what cannot be read is told of all files at once."""
    compiled: dict[Path, CompiledPolicy] = {}
    problems: list[Problem] = []
    runs = []
    for file in files:
        try:
            cases = parse_cases(read_bytes(file), str(file))
            policy = Path(normpath(file.parent / cases.policy))  # one name for one policy, whoever tests it
            if policy not in compiled:
                compiled[policy] = compile_policy(load(policy))
            runs.append(run_cases(cases, compiled[policy]))
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(tuple(dict.fromkeys(problems)))
    return runs


def _merged(runs: list[CaseRun]) -> list[RuleCoverage]:
    """What all files together saw of each rule: several may test one policy."""
    seen: dict[Span, RuleCoverage] = {}
    for run in runs:
        for one in run.coverage:
            known = seen.get(one.rule.span, replace(one, fired=0, spared=0))
            seen[one.rule.span] = replace(one, fired=one.fired + known.fired, spared=one.spared + known.spared)
    return list(seen.values())


def _lines(
    runs: list[CaseRun], failed: list[CaseResult], coverage: list[RuleCoverage], percent: float
) -> Iterator[str]:
    for result in failed:
        yield f"{result.case.span}: failed: {result.case.name}"
        yield f"    {result.failure}"
        for line in Result(result.case.call, result.decision, "", None, None).explain().split("\n"):
            yield f"    | {line}"
        yield ""
    total = sum(len(run.results) for run in runs)
    yield f"{count(total, 'case')} in {count(len(runs), 'file')}: {total - len(failed)} passed, {len(failed)} failed"
    covered = sum(rule.both_ways for rule in coverage)
    yield f"{covered} of {count(len(coverage), 'rule')} fired and did not fire ({percent:.0f} %)"
    yield from _listed("never fired", [one for one in coverage if not one.fired])
    yield from _listed("always fired", [one for one in coverage if one.fired and not one.both_ways])


def _listed(what: str, rules: list[RuleCoverage]) -> Iterator[str]:
    if rules:
        yield f"  {what}:"
    for one in rules[:_LISTED]:
        yield f"    {one.rule.span.source}:{one.rule.span.line}: {one.rule.outcome} {one.rule.capability}"
    if len(rules) > _LISTED:
        yield f"    and {len(rules) - _LISTED} more"


def _json(
    runs: list[CaseRun], failed: list[CaseResult], coverage: list[RuleCoverage], percent: float
) -> dict[str, object]:
    return {
        "files": len(runs),
        "cases": sum(len(run.results) for run in runs),
        "failed": [
            {
                "at": str(result.case.span),
                "name": result.case.name,
                "expected": str(result.case.outcome),
                "actual": str(result.decision.outcome),
                "failure": result.failure,
            }
            for result in failed
        ],
        "coverage": {
            "percent": round(percent, 1),
            "rules": [
                {
                    "at": f"{one.rule.span.source}:{one.rule.span.line}",
                    "outcome": str(one.rule.outcome),
                    "capability": one.rule.capability,
                    "fired": one.fired,
                    "did_not_fire": one.spared,
                    "both_ways": one.both_ways,
                }
                for one in coverage
            ],
        },
    }

"""What people's words on candidates are filed under in the store of reviews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from gradcam.kinds import expect, expect_each, expect_functions
from gradcam.reviews import Subject, Verdict
from gradcam.runs import Run
from gradcam.shortcuts.candidate import Candidate


def cluster_subjects(candidates: Sequence[Candidate]) -> list[Subject]:
    """What verdicts on candidates are said about: each by its class, its model and its strongest photo.

    A candidate keeps its subject where the ranking changes. Of two with one strongest photo the second is `… (2)`.
    """
    seen: Counter[str] = Counter()
    found: list[Subject] = []
    for candidate in expect_each(Candidate, candidates):
        name = f"{_prefix(candidate.label, candidate.model)}{candidate.members[0].path}"
        seen[name] += 1
        found.append(Subject("cluster", name if seen[name] == 1 else f"{name} ({seen[name]})"))
    return found


def noted_candidates(
    run: Run, verdicts: Iterable[Verdict], find: Callable[[str, str], list[Candidate]]
) -> list[Candidate]:
    """The candidates of a run that somebody has judged or noted, model by model and class by class.

    verdicts: of the run's review, those that nobody superseded.
    find: gives the candidates of a model, by its id, and a label.
    """
    expect_functions(find=find)
    expect(Run, run)
    subjects = {verdict.subject for verdict in expect_each(Verdict, verdicts) if verdict.tells}
    names = [subject.name for subject in subjects if subject.kind == "cluster"]
    pairs = [(model.id, label) for model in run.plan.models for label in model.label_classes]
    found: list[Candidate] = []
    for model, label in pairs:
        if any(name.startswith(_prefix(label, model)) for name in names):
            candidates = find(model, label)
            known = zip(candidates, cluster_subjects(candidates), strict=True)
            found += [one for one, subject in known if subject in subjects]
    return found


def _prefix(label: str, model: str) -> str:
    return f"{label} · {model} · "

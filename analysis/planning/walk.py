"""A walk through a study that computes nothing: which steps there are, which are remembered."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis import pipeline
from analysis.engine.memo import Call, Memo, Record
from analysis.experiments import catalogue
from analysis.experiments.contract import Step
from analysis.study import Study


@dataclass(frozen=True)
class Planned:
    """One step of a run, and the seconds that it took where it is remembered."""

    call: Call
    seconds: float | None

    @property
    def is_remembered(self) -> bool:
        """Whether a run would find it in the cache."""
        return self.seconds is not None


@dataclass
class Walker:
    """In a runner's place: gives what is remembered, and stand-ins for what is not.

    Changes nothing in the cache, whatever is damaged there.
    """

    memo: Memo
    known: Mapping[str, Step] = field(default_factory=catalogue.steps)
    steps: dict[str, Planned] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    async def run(self, call: Call) -> Record:
        """The record as it is remembered, if more hangs on it; else as good as can be foreseen."""
        found = self.memo.lookup(call)
        self.steps[call.key] = Planned(call, None if found is None else found.seconds)
        known = self.known[call.step]
        # scores of which some are known and some are not cannot be compared: all are foreseen
        if found is not None and known.leads_on:
            return found.record
        assert known.foreseen is not None  # timings have no successors
        return known.foreseen(call)

    async def attempt(self, call: Call) -> tuple[Record, None] | tuple[None, str]:
        """The same; timings have no successors, so theirs are not foreseen."""
        if call.timing:
            found = self.memo.lookup(call)
            self.steps[call.key] = Planned(call, None if found is None else found.seconds)
            return None, "planned"
        return await self.run(call), None


def steps(study: Study, memo: Memo) -> list[Planned]:
    """Every step that a run of the study would take, each once.

    What hangs on a step that is not remembered counts as not remembered: its key is not known yet.
    """
    walker = Walker(memo)
    asyncio.run(pipeline.run_study(study, walker))
    return list(walker.steps.values())

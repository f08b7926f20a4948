"""A scheduler for Snakemake that takes steps in the order of the plan.

Its own ones take members in any order, and of all experiments at once. With this one, the first
experiment of several is finished first. Snakemake finds it by its package's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from snakemake_interface_scheduler_plugins.base import SchedulerBase


class Scheduler(SchedulerBase):
    """Takes whatever fits, in the order of `resources: rank`."""

    def select_jobs(
        self,
        selectable_jobs: Sequence[Any],
        remaining_jobs: Sequence[Any],
        available_resources: Mapping[str, Any],
        input_sizes: Mapping[Any, int],
    ) -> Sequence[Any]:
        free = dict(available_resources)
        selected = []
        for job in sorted(selectable_jobs, key=lambda job: job.scheduler_resources.get("rank", 0)):
            needed = {name: job.scheduler_resources.get(name, 0) for name in free}
            if all(needed[name] <= free[name] for name in free):
                selected.append(job)
                free = {name: free[name] - needed[name] for name in free}
        return selected

"""What made an evaluation or a report: commits and commands."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any


def training_commits(manifests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which code trained the members: several commits where it changed on the way."""
    found = [
        sitting.get("git_commit")
        for manifest in manifests
        for sitting in manifest.get("sittings") or [manifest]
    ]
    return list(dict.fromkeys(map(short_commit, found)))


def short_commit(commit: str | None) -> str:
    """E.g. "0123456789ab-dirty": the hash is cut, what `git describe` says of the tree is not."""
    if not commit:
        return "unknown"
    commit_hash, dash, state = commit.partition("-")
    return commit_hash[:12] + dash + state


def command(main: str, flags: Mapping[str, Any]) -> str:
    """One of the mains with these flags, as a shell takes it; None is left out."""
    words = [f"python -m tfp_genens.{main}"]
    for name, value in flags.items():
        if value is None:
            continue
        if isinstance(value, (list, tuple)):
            value = ",".join(map(str, value))
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words.append(f"--{name}={shlex.quote(text)}")
    return " \\\n    ".join(words)

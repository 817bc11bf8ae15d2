"""A hub that remembers what it was given, in place of `HfApi`."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from huggingface_hub import RepoUrl


class FakeHub:
    """Keeps a copy of every folder at the moment it is pushed.

    Args:
        folder: Where the copies go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.pushed: list[Path] = []

    def create_repo(self, repo_id: str, **options: Any) -> RepoUrl:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    def update_repo_settings(self, repo_id: str, **options: Any) -> None:
        self.calls.append(("update_repo_settings", {"repo_id": repo_id, **options}))

    def file_exists(self, *_: Any, **__: Any) -> bool:
        return False

    def upload_file(self, **options: Any) -> None:
        self.calls.append(("upload_file", options))

    def upload_folder(self, *, folder_path: Any, run_as_future: bool = False, **options: Any) -> Any:
        ignored = options.get("ignore_patterns") or []
        copy = self.folder / f"push-{len(self.pushed)}"
        shutil.copytree(folder_path, copy, ignore=shutil.ignore_patterns(*ignored))
        self.calls.append(("upload_folder", options))
        self.pushed.append(copy)
        done: Future[str] = Future()
        done.set_result("commit")
        return done if run_as_future else "commit"

    def names(self) -> list[str]:
        """The calls in order, by name."""
        return [name for name, _ in self.calls]

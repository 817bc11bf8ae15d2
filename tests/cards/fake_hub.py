"""A hub that remembers what it was given, in place of `HfApi`."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from huggingface_hub import RepoUrl
from huggingface_hub.utils import DEFAULT_IGNORE_PATTERNS, filter_repo_objects


class FakeHub:
    """Keeps a copy of every folder at the moment it is pushed.

    Args:
        folder: Where the copies go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.pushed: list[Path] = []
        self.places: list[str | None] = []

    def create_repo(self, repo_id: str, **options: Any) -> RepoUrl:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    def update_repo_settings(self, repo_id: str, **options: Any) -> None:
        self.calls.append(("update_repo_settings", {"repo_id": repo_id, **options}))

    def file_exists(self, *_: Any, **__: Any) -> bool:
        return False

    def upload_file(self, **options: Any) -> None:
        self.calls.append(("upload_file", options))

    def upload_folder(
        self,
        *,
        folder_path: Any,
        path_in_repo: str | None = None,
        allow_patterns: list[str] | None = None,
        ignore_patterns: list[str] | None = None,
        run_as_future: bool = False,
        **options: Any,
    ) -> Any:
        folder, copy = Path(folder_path), self.folder / f"push-{len(self.pushed)}"
        copy.mkdir(parents=True)
        files = [path.relative_to(folder).as_posix() for path in sorted(folder.glob("**/*")) if path.is_file()]
        # as the hub's client does it: patterns are held against the whole path, and `*` matches `/` as well
        ignored = [*(ignore_patterns or []), *DEFAULT_IGNORE_PATTERNS]
        for name in filter_repo_objects(files, allow_patterns=allow_patterns, ignore_patterns=ignored):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / name, copy / name)
        self.calls.append(("upload_folder", options))
        self.pushed.append(copy)
        self.places.append(path_in_repo)
        done: Future[str] = Future()
        done.set_result("commit")
        return done if run_as_future else "commit"

    def files(self, push: int = -1) -> list[str]:
        """What went up in a push, as paths in the repository."""
        copy = self.pushed[push]
        return sorted(path.relative_to(copy).as_posix() for path in copy.glob("**/*") if path.is_file())

    def names(self) -> list[str]:
        """The calls in order, by name."""
        return [name for name, _ in self.calls]

"""The clone's git repository: the branch that is followed, and what is committed, tagged and pushed to it."""

import logging
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pipeline.console import UserError
from pipeline.retraining.commands import Commands, complaint, environment

TIMEOUT_S = 900.0
GIT = ("git", "-c", "core.hooksPath=/dev/null")
"""Hooks are for people: DVC's would check out and push, others would check style."""

log = logging.getLogger(__name__)


class Repository:
    """The repository that the current folder is the root of, and the branch of ``origin`` that has the name of its own.

    Raises :class:`UserError` if no branch is checked out.
    """

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._branch = self._ask("symbolic-ref", "--short", "HEAD")

    def fetch(self) -> str:
        """Ask the remote for the branch; the commit it is at."""
        upstream = f"refs/remotes/origin/{self._branch}"
        self._git("fetch", "--quiet", "origin", f"+refs/heads/{self._branch}:{upstream}")
        return self._ask("rev-parse", upstream)

    def head(self) -> str:
        """The commit that is checked out."""
        return self._ask("rev-parse", "HEAD")

    def check_nothing_to_lose(self, tip: str) -> None:
        """Raise :class:`UserError` where somebody has changed files or has commits that ``tip`` lacks."""
        if self._ask("status", "--porcelain", "--untracked-files=no"):
            raise UserError("this clone has changes that are not committed; retraining wants a clone of its own")
        if not self.has("HEAD", tip):
            raise UserError(
                f"this clone has commits that {self._branch} of origin lacks; retraining wants a clone of its own"
            )

    def check_identity(self) -> None:
        """Raise :class:`UserError` if git does not know in whose name to commit."""
        self._ask("var", "GIT_COMMITTER_IDENT")

    def has(self, commit: str, tip: str) -> bool:
        """Whether ``commit`` is ``tip`` or before it."""
        command = [*GIT, "merge-base", "--is-ancestor", commit, tip]
        return subprocess.run(command, timeout=TIMEOUT_S, check=False).returncode == 0

    def record(self) -> str:
        """A commit of the files under version control as they are, on no branch."""
        return self._ask("stash", "create") or self.head()

    def take(self, tip: str, kept: str, paths: Iterable[Path]) -> None:
        """Check out ``tip`` as the branch, whatever there was; ``paths`` as ``kept`` has them, if one is named."""
        self._git("checkout", "--quiet", "--force", "-B", self._branch, tip)
        if kept and (known := self._ask("ls-tree", "--name-only", kept, *map(str, paths)).splitlines()):
            self._git("checkout", "--quiet", kept, "--", *known)

    def write_changes(self, path: Path) -> None:
        """Write what the files under version control differ by from the commit, for `git apply`."""
        self._ask("diff", "--binary", f"--output={path}", "HEAD")

    def commit(self, message: str, new: Iterable[Path]) -> None:
        """Commit all changes, and of the paths in ``new`` those that are there; nothing if that was done before."""
        self._git("add", "--update", "--", ".")
        if paths := [str(path) for path in new if path.exists()]:
            self._git("add", "--", *paths)
        if self._ask("diff", "--cached", "--name-only"):
            self._git("commit", "--quiet", "--message", message)

    def tag(self, name: str, message: str) -> None:
        """Tag the commit, also if an earlier attempt tagged another."""
        self._git("tag", "--force", "--annotate", "--message", message, name)

    def push(self, tag: str) -> bool:
        """Push commit and tag, both or none; False if the branch has gone on without this commit."""
        tip = self.fetch()
        if self.has("HEAD", tip):  # a run that was killed had pushed it
            return True
        if not self.has(tip, "HEAD"):
            return False
        references = (f"HEAD:refs/heads/{self._branch}", f"refs/tags/{tag}")
        self._git("push", "--quiet", "--atomic", "origin", *references)
        return True

    def remove_locks(self) -> None:
        """Remove what a git that was killed left behind; with the lock of this run held, it is nobody's."""
        for lock in Path(self._ask("rev-parse", "--absolute-git-dir")).rglob("*.lock"):
            log.warning("removing %s, which a run that was killed has left", lock)
            lock.unlink(missing_ok=True)

    def _git(self, verb: str, *arguments: str) -> None:
        self._commands.run(f"git {verb}", *GIT, verb, *arguments, timeout_s=TIMEOUT_S)

    def _ask(self, *arguments: str) -> str:
        """What git answers; for what is quick and changes nothing."""
        answer = subprocess.run(
            [*GIT, *arguments], env=environment(), timeout=TIMEOUT_S, capture_output=True, text=True, check=False
        )
        if answer.returncode:
            raise UserError(f"git {arguments[0]} failed: {complaint(answer.stderr.splitlines())}")
        return answer.stdout.rstrip("\n")

"""The container's tools read git objects, and nothing of a repository runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from simulator_driving import URL, Shop, make_shop

from dispatcher.simulator.config import normal_url
from dispatcher.simulator.managed.checkout import Checkout, Checkouts, NoSuchCommit, NoSuchRepository
from dispatcher.simulator.managed.container import Container, Mount, glob_pattern


@pytest.fixture
def checkouts(shop: Shop) -> Iterator[Checkouts]:
    opened = Checkouts({normal_url(URL): shop.path}, ThreadPoolExecutor(2))
    yield opened
    opened.close()


@pytest.fixture
async def container(checkouts: Checkouts, shop: Shop) -> Container:
    checkout = await checkouts.mount(URL, {"type": "commit", "sha": shop.commit})
    return Container(checkouts, (Mount("/workspace/shop", checkout),))


CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("grep", {"pattern": "def evaluate"}, "src/flags.py:6:def evaluate_flag(name, tenant):"),
    ("grep", {"pattern": "invoice", "path": "/workspace/shop/src"}, "src/billing.py:4:def invoice(tenant):"),
    ("grep", {"pattern": "zorblax"}, "No matches found"),
    (
        "read",
        {"file_path": "src/billing.py", "view_range": [4, 5]},
        "4\tdef invoice(tenant):\n5\t    if evaluate_flag(",
    ),
    ("read", {"file_path": "/workspace/shop/README.md"}, "1\t# Shop"),
    ("read", {"file_path": "./README.md", "view_range": [3, -1]}, "3\tA shop."),
    ("glob", {"pattern": "**/*.py"}, "src/billing.py\nsrc/flags.py\ntests/test_flags.py"),
    ("glob", {"pattern": "*.py", "path": "src"}, "src/billing.py\nsrc/flags.py"),
    ("glob", {"pattern": "*.rs"}, "No files found"),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), CALLS)
async def test_a_tool_shows_the_commit(
    container: Container, name: str, arguments: dict[str, Any], expected: str
) -> None:
    output = await container.run(name, arguments)

    assert not output.is_error
    assert output.text.startswith(expected)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read", {"file_path": "../../etc/passwd"}),
        ("read", {"file_path": "/etc/passwd"}),
        ("read", {"file_path": "src"}),
        ("read", {"file_path": ".git/config"}),
        ("read", {}),
        ("grep", {"pattern": "("}),
        ("grep", {"pattern": "x", "path": "/etc"}),
        ("glob", {"pattern": "*", "path": "../.."}),
        ("bash", {"command": "ls"}),
    ],
)
async def test_a_tool_refuses_what_is_outside(container: Container, name: str, arguments: dict[str, Any]) -> None:
    assert (await container.run(name, arguments)).is_error


async def test_without_a_repository_the_tools_say_so(checkouts: Checkouts) -> None:
    empty = Container(checkouts, ())

    assert (await empty.run("grep", {"pattern": "x"})).is_error


async def test_urls_and_commits_that_are_unknown_are_told_apart(checkouts: Checkouts, shop: Shop) -> None:
    with pytest.raises(NoSuchRepository):
        await checkouts.mount("https://github.com/acme/other", None)
    for wrong in (
        {"type": "commit", "sha": "0" * 40},
        {"type": "commit", "sha": "HEAD"},
        {"type": "branch", "name": "nope"},
        {"type": "branch", "name": "--all"},
        {"type": "branch", "name": "main@{1}"},
    ):
        with pytest.raises(NoSuchCommit):
            await checkouts.mount(URL, wrong)
    assert (await checkouts.mount(f"{URL.upper().replace('HTTPS', 'https')}.git/", None)).commit == shop.commit


@pytest.fixture
def linking(tmp_path: Path) -> Shop:
    """The shop with a symbolic link out of it."""
    shop = make_shop(tmp_path)
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "add", "-A"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-qm", "link"], cwd=tmp_path, check=True)
    return shop


async def test_links_are_not_followed(linking: Shop) -> None:
    checkouts = Checkouts({normal_url(URL): linking.path}, ThreadPoolExecutor(1))
    checkout = await checkouts.mount(URL, None)

    assert "link.py" not in await checkouts.paths(checkout)
    assert await checkouts.text(checkout, "link.py") is None
    checkouts.close()


@pytest.fixture
def hostile(tmp_path: Path) -> Shop:
    """The shop with programs in its own configuration; any that runs leaves the file `ran` beside it."""
    shop, mark = make_shop(tmp_path / "shop"), tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    trap.chmod(0o755)
    settings = {
        "core.fsmonitor": trap,
        "core.pager": trap,
        "core.sshCommand": trap,
        "diff.t.textconv": trap,
        "filter.t.smudge": trap,
        "filter.t.clean": trap,
        "grep.fallbackToNoIndex": "true",
    }
    for name, value in settings.items():
        subprocess.run(["git", "config", name, str(value)], cwd=shop.path, check=True)
    (shop.path / ".git" / "info").mkdir(exist_ok=True)
    (shop.path / ".git" / "info" / "attributes").write_text("* diff=t filter=t\n")
    for hook in ("post-checkout", "reference-transaction"):
        (shop.path / ".git" / "hooks" / hook).write_text(trap.read_text())
        (shop.path / ".git" / "hooks" / hook).chmod(0o755)
    return shop


async def test_a_hostile_repository_runs_nothing(hostile: Shop) -> None:
    """Monitors, hooks, filters, converters and pagers that the repository configures are never started."""
    checkouts = Checkouts({normal_url(URL): hostile.path}, ThreadPoolExecutor(1))
    checkout = await checkouts.mount(URL, None)
    shown = await asyncio.gather(checkouts.grep(checkout, "flag", ""), checkouts.text(checkout, "README.md"))
    checkouts.close()

    assert all(shown)
    assert "ran" not in [path.name for path in hostile.path.parent.iterdir()]


@pytest.fixture
def strangers(tmp_path: Path) -> Shop:
    """The shop in the hands of another user."""
    shop = make_shop(tmp_path)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 12345, 12345)
    return shop


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_another_users_checkout_works(strangers: Shop) -> None:
    checkouts = Checkouts({normal_url(URL): strangers.path}, ThreadPoolExecutor(1))
    checkout = await checkouts.mount(URL, None)
    checkouts.close()

    assert checkout == Checkout(URL, strangers.path, strangers.commit)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("**/*.py", "a.py", True),
        ("**/*.py", "a/b/c.py", True),
        ("*.py", "a/b.py", False),
        ("a/**", "a/b/c", True),
        ("a?.py", "ab.py", True),
        ("a+.py", "aa.py", False),
    ],
)
def test_globs_know_the_double_star(pattern: str, path: str, fits: bool) -> None:
    assert bool(glob_pattern(pattern).fullmatch(path)) is fits

"""`dispatcher simulator`: serve a loopback Anthropic API."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--port", default=0, show_default="any free port", type=click.IntRange(0, 65535), help="Port to serve on."
)
@click.option(
    "--time-scale",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Factor on every simulated wait: 1 is real time, 0.02 fifty times faster.",
)
@click.option(
    "--repository",
    "repositories",
    multiple=True,
    metavar="URL=PATH",
    help="Local checkout that stands for a GitHub address in managed sessions; may be repeated.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that declares what goes wrong: docs/simulator.md.",
)
@click.option("--seed", default=0, show_default=True, help="Another seed gives other simulated latencies.")
def simulator(port: int, time_scale: float, repositories: tuple[str, ...], faults: Path | None, seed: int) -> None:
    """Serve the Messages API and Managed Agents on loopback, with a simulated model.

    The first line printed is the base URL, for ANTHROPIC_BASE_URL. Every response says that it is simulated.
    """
    from dispatcher.settings import load_settings
    from dispatcher.simulator.config import SimulatorConfig
    from dispatcher.simulator.faults.rule import Faults
    from dispatcher.simulator.server import run

    config = SimulatorConfig(
        repositories=checkouts(repositories),
        time_scale=time_scale,
        prices=load_settings().policies_dir / "prices.yml",
        seed=seed,
        faults=Faults() if faults is None else Faults.load(faults),
    )
    run(config, port, ready=click.echo)


def checkouts(repositories: tuple[str, ...]) -> dict[str, Path]:
    """Parse `URL=PATH` options."""
    parsed = {}
    for option in repositories:
        url, separator, path = option.partition("=")
        if not separator or not path:
            raise click.BadParameter(f"{option!r} is not of the form URL=PATH", param_hint="--repository")
        parsed[url] = Path(path)
    return parsed

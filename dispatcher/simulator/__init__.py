"""A loopback Anthropic API: Messages and Managed Agents, timed and priced by data."""

from __future__ import annotations

from dispatcher.simulator.config import SimulatorConfig
from dispatcher.simulator.metering.ledger import LedgerEntry
from dispatcher.simulator.server import Simulator, run

__all__ = ["LedgerEntry", "Simulator", "SimulatorConfig", "run"]

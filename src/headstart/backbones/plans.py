"""The cuts of the catalogue's networks, planned once and shipped in `plans.json`; a test plans them anew."""

from __future__ import annotations

import json
from importlib.resources import files

from headstart.backbones.replay import CutPlan


def shipped_plan(name: str) -> CutPlan | None:
    """Return the plan shipped for a catalogue name; None where there is none."""
    plans = json.loads(files("headstart.backbones").joinpath("plans.json").read_text(encoding="utf-8"))
    return CutPlan.from_json(plans[name]) if name in plans else None

"""Loads and plans a project once: a process of its own, so that every measurement starts from nothing."""

import sys
from pathlib import Path

from legato.service.planning import Planner
from legato.service.plans import plan_request
from legato.service.request import Request
from legato.wiring.code import open_workspace

plan = plan_request(Planner(open_workspace(Path(sys.argv[1])), None), Request())
assert plan.size == int(sys.argv[2]), plan.size

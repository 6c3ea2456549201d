"""A command like `experiments.stress`, for tests that kill it: folder, engine, config as JSON."""

import json
import signal
import sys

from hydra.utils import instantiate

from experiments.ensemble import Interrupted, plan, run
from experiments.store import Store
from sim.errors import FaultlineError

if __name__ == "__main__":
    # A background job of a script inherits that Ctrl-C is ignored; a terminal's command does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder, engine, worlds, chunk, config = sys.argv[1:]
    target = f"experiments.engines.{engine}.{engine.title()}"
    options = {} if engine == "serial" else {"n_workers": 2}
    tasks = plan(json.loads(config), 7, int(worlds), int(chunk))
    with instantiate({"_target_": target, **options}) as workers:
        try:
            outcome = run("ensemble_tasks:simulate", tasks, Store(folder), workers)
        except Interrupted as stop:
            sys.exit(str(stop))
        except FaultlineError as error:
            sys.exit(str(error))
    json.dump([outcome.done, outcome.resumed, [f.first for f in outcome.failed]], sys.stdout)

"""Launchers among bad actors: the real control plane and launcher, an engine in memory that speaks its real API.

To add a launcher, write `engines/<name>.py` with a subclass of `faults.launchers.engine.Engine`:

- `start(ground)` serves the engine's API in this process. Before every call is answered, ask `ground.weather.strike()`
  what goes wrong with it: refused with a status, cut before or after its effect, late. Let lists lag where the engine's do.
- To start a run's program make a `Process` of `ground.program` with the files that the run was given, by path within its
  folder (`attempt.json`, `claim-token`, ...). SIGTERM is `term()`, SIGKILL `kill()`; `lost` says that its node went.
- `launcher(context)` gives a new launcher, as a gateway that was restarted has one; its client is the real one.
- `left()` names whatever is still in the engine: native objects, secrets, files. Empty is what the campaign wants.
- `PLANTS` are bugs in the launcher that the checker must see.

Then put it into `ENGINES` of `test_launchers.py`. Everything runs on one `FastLoop`, whose idle time passes quickly; take
the time of objects from `ground.now_s()`.
"""

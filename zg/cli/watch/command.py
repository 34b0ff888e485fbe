"""`zg watch`: a local page of all runs in a folder, while they go on: curves, pictures, settings, why they stopped.

Only this machine can open it, and only with the address that is printed, which holds a random token. It changes
nothing. Ctrl-C ends it; the runs go on.
"""

import contextlib
from pathlib import Path

from zg.cli import output
from zg.cli.options import OptionParser
from zg.errors import SettingError
from zg.extras import load_package


def watch_command(words: list[str]) -> int:
    """Run `zg watch`. words: the words of the command line after `watch`. Returns the exit code."""
    parser = OptionParser(prog="zg watch", description=(__doc__ or "").strip())
    told = "a folder with runs, in it or deeper, or of one run (default runs)"
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs"), help=told)
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1 (default: any free one)")
    options = parser.parse_args(words)
    if not options.folder.is_dir():
        raise SettingError(f"folder must be one with runs, and there is none at '{options.folder}'")
    load_package("werkzeug", "watch")
    from zg.cli.watch.runs import Runs
    from zg.cli.watch.server import serve

    with contextlib.suppress(KeyboardInterrupt):
        runs = Runs(options.folder)
        server, address = serve(runs, options.port)
        output.say(f"Runs in {runs.root}, {len(runs.folders())} now:\n\n  {address}\n")
        tunnel = f"ssh -L {server.port}:127.0.0.1:{server.port} HOST"
        output.say(f"From another machine: {tunnel}, and the same address there. Ctrl-C ends this page, and no run.")
        if trouble := output.flush():  # the address, also where the output is no terminal
            raise SettingError(f"watch must be able to print the address of its page: {trouble}")
        server.serve_forever()
    return 0

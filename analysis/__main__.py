"""python -m analysis, and the console script `sparsity`."""

import signal
import sys


def main() -> None:
    """Run the command line, heeding signals from before its imports on."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback, until they are heeded
    from analysis.engine import stopping, streams

    streams.open_closed()
    stopping.heed()
    try:
        from analysis import cli
    except KeyboardInterrupt:
        stopping.end()
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: this Python lacks {error.name}; run `make setup`, then use"
            " `.venv/bin/python -m analysis`"
        )
    cli.main()


if __name__ == "__main__":
    main()

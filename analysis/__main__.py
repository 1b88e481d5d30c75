"""python -m analysis"""

import signal
import sys

if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback, until they are heeded
    from analysis.engine import stopping, streams

    streams.open_closed()
    stopping.heed()
    try:
        from analysis.cli import main
    except KeyboardInterrupt:
        stopping.end()
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: this Python lacks {error.name}; run `make setup`, then use"
            " `.venv/bin/python -m analysis`"
        )
    main()

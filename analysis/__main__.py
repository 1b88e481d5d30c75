"""python -m analysis"""

import sys

if __name__ == "__main__":
    from analysis import stopping, streams

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

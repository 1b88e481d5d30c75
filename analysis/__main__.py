"""python -m analysis"""

import sys

if __name__ == "__main__":
    try:
        from analysis.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        sys.exit(
            f"error: this Python lacks {error.name}; run `make setup`, then use"
            " `.venv/bin/python -m analysis`"
        )
    main()

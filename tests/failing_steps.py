"""Steps that fail in the ways that steps do, for the tests of runs."""

import os


def works(objects, *, number):
    return {"twice": 2 * number}


def breaks(objects):
    raise ValueError("this cannot be\ndivided")


def refuses(objects):
    from analysis.errors import RunError

    raise RunError("the loss is NaN; lower the learning rate")


def finds_no_room(objects):
    raise OSError(28, "No space left on device")


def dies(objects):
    os._exit(9)

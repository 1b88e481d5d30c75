"""What the hub's client raises, in one line of our own words: its own hold urls."""

import errno
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from analysis.errors import AnalysisError, RequestError, RunError
from analysis.hub.repository import Repository

_TOKEN = "log in with `hf auth login`, or set HF_TOKEN to a token that may read it"
ROOM = "free some, or set HF_HOME to a folder on a larger disk"


class UnreachableError(RunError):
    """The server cannot be asked now; what is cached may do instead."""


@contextmanager
def quiet_client() -> Iterator[None]:
    """The client's warnings, full of urls, stay unsaid; its progress bars are for terminals."""
    from huggingface_hub import utils

    level = utils.logging.get_verbosity()
    utils.logging.set_verbosity(utils.logging.ERROR if level == logging.WARNING else level)
    try:
        with nullcontext() if sys.stderr.isatty() else no_bars():
            yield
    finally:
        utils.logging.set_verbosity(level)


@contextmanager
def no_bars() -> Iterator[None]:
    """Without the client's progress bars, of which one is drawn into pipes too; what the user's
    environment says of them is left."""
    from huggingface_hub import constants, utils

    free = constants.HF_HUB_DISABLE_PROGRESS_BARS is None
    if hide := free and not utils.are_progress_bars_disabled():
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            utils.enable_progress_bars()


def host() -> str:
    """The server's name, without what else a url may hold."""
    from huggingface_hub import constants

    return re.sub(r"^(\w+://)?([^/]*@)?|/.*$", "", constants.ENDPOINT)


@contextmanager
def one_line_errors(repository: Repository, revision: str) -> Iterator[None]:
    """Put the client's exceptions in our words, and not in its own: those hold urls."""
    import httpx2
    from huggingface_hub.errors import DryRunError

    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RuntimeError) as error:
        cause: BaseException = error
        while isinstance(cause, (FileNotFoundError, DryRunError)) and cause.__cause__:
            cause = cause.__cause__  # the client reports as not found what it could not ask for
        raise _in_our_words(cause, repository, revision) from error


def _in_our_words(error: BaseException, repository: Repository, revision: str) -> AnalysisError:
    import httpx2
    from huggingface_hub import constants, errors

    server, cache, what = host(), constants.HF_HUB_CACHE, repository.what
    match error:
        case errors.HFValidationError():
            return RequestError(f"{repository.name!r} is no name of a {what}; check it on {server}")
        case errors.GatedRepoError():
            return RequestError(f"{repository} is gated; ask for access on its page, then {_TOKEN}")
        case errors.RepositoryNotFoundError():
            none = f"{server} has no {what} {repository}, or a private one; check the name"
            return RequestError(f"{none}, and for a private one {_TOKEN}")
        case errors.RevisionNotFoundError():
            none = f"{repository} has no revision {revision!r}"
            return RequestError(f"{none}; give a branch, a tag or a full commit of it")
        case errors.HfHubHTTPError(response=response):
            status = response.status_code
            if status in (401, 403):
                return RequestError(f"{server} refuses access to {repository} ({status}); {_TOKEN}")
            if status in (408, 429) or status >= 500:
                return UnreachableError(f"{server} answers {status}")
            return RunError(f"{server} answers {status} for {repository}; check HF_ENDPOINT")
        case httpx2.InvalidURL() | httpx2.UnsupportedProtocol():
            return RequestError("HF_ENDPOINT is no url; set it to http(s)://host, or unset it")
        case httpx2.LocalProtocolError() | UnicodeError():
            return RequestError("the request cannot be sent; check HF_TOKEN for stray characters")
        case errors.OfflineModeIsEnabled():
            return UnreachableError(f"HF_HUB_OFFLINE forbids to ask {server}")
        case httpx2.TimeoutException():
            return UnreachableError(f"{server} does not answer in time")
        case httpx2.ConnectError():
            return UnreachableError(f"cannot connect to {server}")
        case httpx2.TooManyRedirects():
            return RunError(f"{server} sends from one address to another; check HF_ENDPOINT")
        case httpx2.TransportError():
            return UnreachableError(f"the connection to {server} broke")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return RunError(f"no room left in {cache}; {ROOM}, and run this again")
        case OSError(errno=int()):
            return RunError(f"cannot write to {cache}; set HF_HOME to a folder that can be written")
    return RunError(f"{repository} did not arrive whole from {server}; run this again")

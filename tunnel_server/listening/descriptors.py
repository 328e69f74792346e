"""The number of file descriptors that the server may have: each visitor's connection is one."""

from __future__ import annotations

import logging
from typing import Final

log = logging.getLogger(__name__)

# A browser opens six connections to a page, and keeps them: fewer than this serve 700 browsers.
FEW_DESCRIPTORS: Final = 4096

NO_LIMIT: Final = -1  # as resource.RLIM_INFINITY


def raise_limit() -> int:
    """Raise the soft limit to the hard one, warn if that is low, and return it.

    The soft limit is often 1,024 for the sake of programs that use select(), which this is not.
    Where the system has none nothing is done.
    """
    try:
        import resource
    except ImportError:  # on Windows, which counts no sockets
        return NO_LIMIT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:  # macOS caps what it says is unlimited
            log.warning("the limit of file descriptors stays at %d: %s", soft, error)
    if soft != resource.RLIM_INFINITY and soft < FEW_DESCRIPTORS:
        log.warning(
            "only %d file descriptors, and each visitor takes one: "
            "raise the hard limit with ulimit -n, or LimitNOFILE= in systemd",
            soft,
        )
    return soft

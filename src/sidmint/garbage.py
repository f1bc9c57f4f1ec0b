"""Less work for Python's garbage collector in commands that import much and end soon."""

from __future__ import annotations

import atexit
import gc

_NEW_OBJECTS = 50_000
"""Between two looks at young objects, in place of 700: while torch or Great Expectations is
imported, hundreds of thousands of objects come and none goes."""


def collect_rarely() -> None:
    """Look for garbage cycles less often, and not at all while this process ends.

    For the process of a command, before it imports anything large. At its end Python would walk
    over every object that is left, to free what the system frees anyway: 0.3 s of CPU time
    with torch imported, 0.8 s with Great Expectations. What asked to be told of the end
    (`atexit`, `weakref.finalize`, so temporary folders and logs too) has been told before.

    Pitfall: a file that is still open at the end, in a cycle, keeps what it has not written.
    Close files by `with`.
    """
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # the first to be registered is the last to run

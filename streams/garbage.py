"""How often the interpreter looks for cycles of garbage in a job."""

import gc

NEW_OBJECTS = 100_000


def look_seldom() -> None:
    """Makes the collector of cycles run once in 100,000 new objects, not 700, and never over what was made at the start.

    A batch is a tree of millions of objects without a cycle: looking at them over and over took a fifth of a job's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 50)

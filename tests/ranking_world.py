"""A world in which content alone decides clicks, and half the items appear after the cut.

Users click items of their own topic, evenly among those that are out. Vectors lie by topic and
the first code is the topic; later codes say nothing. Items come in pairs of equal content.
"""

from __future__ import annotations

import numpy as np

from sidmint.ranking import ClickLog, ProbeSettings
from sidmint.types import Codes

NUM_ITEMS, NUM_TOPICS, EVENTS = 400, 8, 24
CUT = EVENTS // 2 + 2
"""Events happen at times 0, 1, ...; the late items come out here."""

SETTINGS = ProbeSettings(
    clicks={"batch_size": 256, "hidden": 4, "width": 8},
    test_share=(EVENTS - CUT) / EVENTS,
    num_parameters=1400,
)


def topic_world(seed: int = 0, num_users: int = 300) -> tuple[Codes, np.ndarray, ClickLog]:
    """Codes, vectors and log. Items 2 j and 2 j + 1 are copies; late ones are in both halves."""
    generator = np.random.default_rng(seed)
    pairs = NUM_ITEMS // 2
    topics = np.arange(pairs) % NUM_TOPICS
    codes = np.stack(
        [topics, generator.integers(12, size=pairs), generator.integers(12, size=pairs)], axis=1
    )
    vectors = np.eye(NUM_TOPICS)[topics] + 0.1 * generator.standard_normal((pairs, NUM_TOPICS))
    codes, vectors, topics = (np.repeat(each, 2, axis=0) for each in (codes, vectors, topics))
    late = np.repeat(generator.permutation(pairs) < pairs // 2, 2)
    users, items, times = [], [], []
    for user in range(num_users):
        own = topics == generator.integers(NUM_TOPICS)
        for time in range(EVENTS):
            out = np.flatnonzero(own & ~late if time < CUT else own)
            users.append(user)
            items.append(generator.choice(out))
            times.append(time)
    log = ClickLog.of(np.array(users), np.array(items), np.array(times), NUM_ITEMS)
    return Codes(codes.astype(np.int32), (NUM_TOPICS, 12, 12)), vectors.astype(np.float32), log

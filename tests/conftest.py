"""Settings that every test shares."""

import os

# Several workers share the cores: a thread each is faster than all of them for each. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

from __future__ import annotations

# Plugins are loaded by the runs that use them.
collect_ignore_glob = ["plugins/*"]

"""What a shard is, map and merge, and the engines that run them: `local` and `ray`.

A stage is handed an `Engine` and asks it for a map; it never learns which one it is.
"""

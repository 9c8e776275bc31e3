"""The published tables: each published protocol at equal conditions, ours beside the published value."""

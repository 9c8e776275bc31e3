"""The published tables: each published protocol under the same settings, ours beside the published value."""

"""Plugins: their hooks (`spec`), finding them (`discovery`), resolving names (`registry`)."""

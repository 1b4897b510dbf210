"""State folders: what was published last, for slim builds to compare with and read from."""

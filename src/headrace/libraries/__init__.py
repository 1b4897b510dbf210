"""What Headrace uses of other libraries that is private or may change; each use has a test."""

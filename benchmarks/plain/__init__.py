"""The peers: the same work done the plain way, each a script that runs as its own process."""

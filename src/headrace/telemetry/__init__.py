"""What a command says of itself while it works: JSON log lines and OpenTelemetry spans."""

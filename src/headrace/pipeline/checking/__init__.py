"""What has to hold: checks of raw tables, the audit before publishing, contracts."""

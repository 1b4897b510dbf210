"""The stages of a cloud stack, run on this machine: S3, Delta tables, marts, warehouses."""

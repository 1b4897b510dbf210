"""A lake of Delta, Iceberg or Parquet as a target."""

"""Quality: plain functions over tables and the catalog."""

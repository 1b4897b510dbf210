"""dbt as it is called: its runner, its errors in plain words, its packages."""

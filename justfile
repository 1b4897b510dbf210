set windows-shell := ["powershell.exe", "-NoLogo", "-Command"]

# List the recipes
default:
    @just --list

# Install what uv.lock names, and the git hooks
setup:
    uv sync --locked --all-extras --all-groups
    uv run pre-commit install

# Load, build, test, publish: `just run --full-refresh`
run *flags:
    uv run headrace run {{ flags }}

# How the last runs went
status:
    uv run headrace status

# What is resolved, and from which layer
where:
    uv run headrace where

# What is missing on this machine
doctor:
    uv run headrace doctor

# Run the tests: `just test tests/unit -k lock`
test *flags:
    uv run --all-groups pytest {{ flags }}

# Every check but the tests
lint:
    uv run ruff check
    uv run ruff format --check
    uv run mypy
    uv run sqlfluff lint --disable-progress-bar dbt_project

# Format Python and SQL, and mend what the linters can mend
format:
    uv run ruff check --fix
    uv run ruff format
    uv run sqlfluff fix dbt_project

# Every check and the tests
check: lint test

# Delete all that git ignores under data/: warehouse, published copy, dlt's state, CSV files
[confirm("Delete the warehouse, the published copy, the run history and the CSV files under data/? [y/N]")]
clean-data:
    git clean -fdX data

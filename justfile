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

# Show the last runs
status:
    uv run headrace status

# Show each setting and the layer it comes from
where:
    uv run headrace where

# Check this machine and the project
doctor:
    uv run headrace doctor

# Run the tests: `just test tests/unit -k lock`
test *flags:
    uv run --all-groups pytest {{ flags }}

# Run the tests that take no time, while you work: `just quick -x`
quick *flags:
    uv run --all-groups pytest -m "not slow" {{ flags }}

# Run every check except the tests
lint:
    uv run ruff check
    uv run ruff format --check
    uv run mypy
    uv run sqlfluff lint --disable-progress-bar dbt_project

# Format Python and SQL, and fix what the linters can fix
format:
    uv run ruff check --fix
    uv run ruff format
    uv run sqlfluff fix dbt_project

# Run every check and the tests
check: lint test

# Delete everything that git ignores under data/: warehouse, published copy, dlt's state, CSV files
[confirm("Delete the warehouse, the published copy, the run history and the CSV files under data/? [y/N]")]
clean-data:
    git clean -fdX data

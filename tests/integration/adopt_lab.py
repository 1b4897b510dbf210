"""Small repositories of the shapes that people have, for ``headrace adopt``; all of it made up."""

from collections.abc import Mapping
from pathlib import Path

_PROFILE = """\
{name}:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: {path}
      threads: 2
"""

# dbt with seeds that are the tables of its sources, in one schema, with tests
SEEDED_SHOP = {
    "README.md": "# A shop\n",
    "dbt_project.yml": (
        "name: coffee\nversion: 1.0.0\nprofile: coffee\nconfig-version: 2\n"
        "model-paths: [models]\nseed-paths: [seeds]\n"
        "models:\n  coffee:\n    +materialized: table\n    staging:\n      +materialized: view\n"
        "seeds:\n  coffee:\n    +schema: raw\n"
    ),
    "profiles.yml": _PROFILE.format(name="coffee", path="coffee.duckdb"),
    "seeds/raw_beans.csv": "id,bean,grams\n1,Arabica,250\n2,Robusta,500\n3,Arabica,1000\n",
    "seeds/raw_sales.csv": "id,bean_id,sold_on,cents\n1,1,2024-01-01,900\n2,3,2024-01-02,3000\n"
    "3,3,2024-01-05,3100\n",
    "models/staging/sources.yml": (
        "sources:\n  - name: till\n    schema: main_raw\n    tables:\n"
        "      - name: raw_beans\n      - name: raw_sales\n"
    ),
    "models/staging/stg_beans.sql": "select id as bean_id, bean, grams\n"
    "from {{ source('till', 'raw_beans') }}\n",
    "models/staging/stg_sales.sql": "select id as sale_id, bean_id, sold_on,\n"
    "    cents / 100 as amount\n"
    "from {{ source('till', 'raw_sales') }}\n",
    "models/beans.sql": "select stg_beans.bean_id, bean, coalesce(sum(amount), 0) as revenue\n"
    "from {{ ref('stg_beans') }} as stg_beans\n"
    "left join {{ ref('stg_sales') }} as sales on sales.bean_id = stg_beans.bean_id\n"
    "group by all\n",
    "models/schema.yml": (
        "models:\n  - name: beans\n    columns:\n      - name: bean_id\n"
        "        data_tests: [unique, not_null]\n"
    ),
}

# a dlt script at the root (its pipeline is run below __main__), dbt in a subfolder that reads it
DLT_AND_DBT = {
    "readings.py": '''\
"""Readings of a few weather stations."""

import dlt

STATIONS = ["north", "south"]


@dlt.source(name="weather")
def weather(stations: list[str], days: int = 2):
    @dlt.resource(primary_key=["station", "day"], write_disposition="merge")
    def readings():
        for station in stations:
            for day in range(1, days + 1):
                yield {"station": station, "day": f"2024-03-0{day}", "degrees": day * 1.5}

    return readings


if __name__ == "__main__":
    pipeline = dlt.pipeline(
        pipeline_name="weather", destination="duckdb", dataset_name="weather_data"
    )
    info = pipeline.run(weather(STATIONS, days=3))
    print(info)
''',
    "transform/dbt_project.yml": (
        "name: climate\nprofile: climate\n"
        "models:\n  climate:\n    marts:\n      +schema: gold\n      +materialized: view\n"
    ),
    "transform/profiles.yml": _PROFILE.format(
        name="climate", path="\"{{ env_var('CLIMATE_DB', '../weather.duckdb') }}\""
    ),
    "transform/models/staging/sources.yml": (
        "sources:\n  - name: weather\n    schema: weather_data\n    tables:\n"
        "      - name: readings\n"
        '  - name: places\n    meta:\n      external_location: "../places/{name}.csv"\n'
        "    tables:\n      - name: stations\n"
    ),
    "places/stations.csv": "station,altitude\nnorth,400\nsouth,120\n",
    "transform/models/staging/stg_readings.sql": "select station, day::date as day, degrees\n"
    "from {{ source('weather', 'readings') }}\n",
    "transform/models/marts/stations.sql": "select stg.station, altitude, max(degrees) as warmest\n"
    "from {{ ref('stg_readings') }} as stg\n"
    "join {{ source('places', 'stations') }} as places on places.station = stg.station\n"
    "group by all\n",
}

# dlt alone: a script that runs when it is imported, and one whose sources are made in functions
DLT_ONLY = {
    "requirements.txt": "dlt[duckdb]\n",
    "local_pipeline.py": """\
import json
from pathlib import Path

import dlt

rows = json.loads((Path(__file__).parent / "books.json").read_text())
pipeline = dlt.pipeline(pipeline_name="books", destination="duckdb", dataset_name="library")
load_info = pipeline.run(rows, table_name="books", write_disposition="replace")
load_info.raise_on_failed_jobs()
print(load_info)
""",
    "books.json": '[{"id": 1, "title": "Moby-Dick"}, {"id": 2, "title": "Emma"}]\n',
    "loans_pipeline.py": """\
import dlt
from helpers import loans_of


@dlt.resource(primary_key="loan_id", write_disposition="merge")
def loans(year: int = 2024):
    yield from loans_of(year)


def load_loans() -> None:
    pipeline = dlt.pipeline(pipeline_name="loans", destination="bigquery", dataset_name="lending")
    recent = loans(2023)
    recent.add_limit(5)
    print(pipeline.run(recent))


def main() -> None:
    load_loans()


if __name__ == "__main__":
    main()
""",
    "helpers.py": """\
def loans_of(year):
    return [{"loan_id": number, "year": year} for number in range(3)]
""",
}

# a folder of SQL that is run by hand, in an order that the names of the files do not have
SQL_ONLY = {
    "sql/monthly.sql": "select month, sum(amount) as amount\nfrom clean_sales\ngroup by month;\n",
    "sql/prepare/clean_sales.sql": "-- one row per sale\n"
    "select *, date_trunc('month', sold_on) as month\nfrom 'files/sales.csv'\nwhere amount > 0;\n",
    "sql/setup.sql": "create schema if not exists staging;\ncreate table staging.x (a int);\n",
    "sql/run_all.py": "raise SystemExit('not a model')\n",
    "files/sales.csv": "id,sold_on,amount\n1,2024-01-01,5\n2,2024-01-20,7\n3,2024-02-01,-1\n"
    "4,2024-02-03,2\n",
}

# a package with a src layout: the pipelines are functions that are imported
SRC_LAYOUT = {
    "pyproject.toml": '[project]\nname = "metering"\nversion = "1.0"\ndependencies = ["dlt"]\n',
    "uv.lock": "version = 1\n",
    "src/metering/__init__.py": "",
    "src/metering/meters.py": """\
import dlt

from .values import VALUES


@dlt.source
def meters(api_key: str = dlt.secrets.value, limit: int = 10):
    return dlt.resource(VALUES[:limit], name="values", primary_key="meter")


@dlt.source
def meters_of_street(street: str):
    return dlt.resource([{"street": street}], name="streets")
""",
    "src/metering/values.py": 'VALUES = [{"meter": 1, "kwh": 4.5}, {"meter": 2, "kwh": 1.0}]\n',
    ".dlt/secrets.toml": '[sources.meters]\napi_key = "a-key-of-no-use"\n',
    "tests/test_meters.py": "def test_nothing() -> None:\n    pass\n",
}

# dbt with its own schema macro and a profile made of variables; no tests, no contracts, views only
OWN_SCHEMAS = {
    "warehouse/dbt_project.yml": (
        "name: finance\nprofile: finance\nmodels:\n  finance:\n    core:\n      +schema: core\n"
    ),
    "warehouse/profiles.yml": (
        "finance:\n  target: \"{{ env_var('FINANCE_TARGET', 'laptop') }}\"\n  outputs:\n"
        "    cloud: {type: snowflake, account: a}\n"
        "    laptop:\n      type: duckdb\n      path: \"{{ env_var('FINANCE_DB') }}\"\n"
        "      schema: \"{{ env_var('FINANCE_SCHEMA', 'fin') }}\"\n"
        "      settings:\n        default_null_order: nulls_first\n"
    ),
    "warehouse/macros/generate_schema_name.sql": (
        "{% macro generate_schema_name(custom_schema_name, node) -%}\n"
        "{{ 'dw_' ~ custom_schema_name if custom_schema_name else target.schema }}\n"
        "{%- endmacro %}\n"
    ),
    "warehouse/models/base/base_invoices.sql": "select * from (values (1, 10.5), (2, 20.0)) "
    "as t(invoice_id, amount)\n",
    "warehouse/models/core/invoices.sql": "select invoice_id, amount,\n"
    "    '{{ target.name }}' as made_by\nfrom {{ ref('base_invoices') }}\n",
}

SHAPES: Mapping[str, Mapping[str, str]] = {
    "seeded_shop": SEEDED_SHOP,
    "dlt_and_dbt": DLT_AND_DBT,
    "dlt_only": DLT_ONLY,
    "sql_only": SQL_ONLY,
    "src_layout": SRC_LAYOUT,
    "own_schemas": OWN_SCHEMAS,
}


def write(root: Path, files: Mapping[str, str]) -> Path:
    """A repository with these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def texts(root: Path) -> dict[str, str]:
    """The files of a repository, by path below it."""
    return {
        path.relative_to(root).as_posix(): path.read_text("utf-8", "replace")
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }

"""dbt's `adapter`, as far as sqlfluff's jinja templater needs it to render our macros.

sqlfluff loads this file by `library_path` (see `.sqlfluff`); dbt never reads it.
"""

from collections.abc import Callable

from jinja2 import pass_context
from jinja2.runtime import Context

_DIALECT = "duckdb"


@pass_context
def dispatch(
    context: Context, macro_name: str, macro_namespace: str | None = None
) -> Callable[..., str]:
    """Return the macro for DuckDB, or else the default one, as `adapter.dispatch` does."""
    for prefix in (_DIALECT, "default"):
        macro: Callable[..., str] | None = context.get(f"{prefix}__{macro_name}")
        if macro is not None:
            return macro
    raise LookupError(f"no macro {_DIALECT}__{macro_name} or default__{macro_name}")

"""The grants of a view or table of Redshift, as statements that give them again."""

from typing import TYPE_CHECKING

from headrace.errors import WarehouseError
from headrace.sql_text import identifier, qualified
from headrace.targets.redshift.server import rows_of, text

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - it is a class


def grants_of(connection: "Connection", schema: str, name: str) -> list[str]:
    """Statements that give a view its grants again.

    Raises:
        WarehouseError: somebody has one that cannot be given again.
    """
    kinds = {"user": "", "group": "group ", "role": "role "}
    found = []
    for privilege, who, kind, with_grant in rows_of(
        connection,
        "select privilege_type, identity_name, identity_type, admin_option "
        f"from svv_relation_privileges where namespace_name = {text(schema)} "
        f"and relation_name = {text(name)}",
    ):
        if kind != "public" and kind not in kinds:
            raise WarehouseError(f"{schema}.{name} is granted to a {kind}, which is not known")
        to = "public" if kind == "public" else f"{kinds[str(kind)]}{identifier(str(who))}"
        option = " with grant option" if with_grant and kind == "user" else ""
        found.append(f"grant {privilege} on {qualified(schema, name)} to {to}{option}")
    return found

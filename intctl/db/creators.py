"""Other roles that could make PostgreSQL run their code as intctl.

Whoever may create functions or operators in a schema of the search path can define a better match for a call of ours:
`lower(varchar)`, or `=` for two varchar columns (CVE-2018-1058; PostgreSQL, "Writing SECURITY DEFINER functions safely"
and the wiki's guide to that CVE). Trusted are superusers, the database's and the schema's owner, the owner of intctl's
tables, and this user. A schema with the name of this user comes first in the default path ("$user"), and whoever may
create schemas can make it: its owner is not trusted.

The query itself names every table, function and operator with its schema, for it runs before that is checked. It also
pins the search path to the schemas that it judges, so that one which is made later does not come before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from intctl.errors import StoreError
from intctl.text import clean

_EQ = "OPERATOR(pg_catalog.=)"
#: Pins the search path, which is the first row; selects a `Creator` for each finding.
_UNTRUSTED = f"""
WITH path AS (
  SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace n
   WHERE n.nspname {_EQ} ANY (pg_catalog.current_schemas(false))),
trusted AS (
  SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper OR r.rolname {_EQ} current_user
      OR r.rolname {_EQ} session_user OR r.rolname {_EQ} 'pg_database_owner'
  UNION ALL SELECT d.datdba FROM pg_catalog.pg_database d WHERE d.datname {_EQ} pg_catalog.current_database()
  UNION ALL SELECT p.nspowner FROM path p WHERE NOT p.nspname {_EQ} current_user
  UNION ALL SELECT c.relowner FROM pg_catalog.pg_class c JOIN path p ON c.relnamespace {_EQ} p.oid
   WHERE c.relname {_EQ} 'integrations' AND NOT p.nspname {_EQ} current_user)
SELECT 'path' AS kind, pg_catalog.set_config('search_path', pg_catalog.array_to_string(ARRAY(
         SELECT pg_catalog.quote_ident(n) FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) n), ', '), false)
       AS schema, '' AS name
UNION ALL
SELECT CASE WHEN a.grantee {_EQ} p.nspowner THEN 'owner' ELSE 'creator' END,
       pg_catalog.quote_ident(p.nspname),
       CASE WHEN a.grantee {_EQ} 0::pg_catalog.oid THEN 'PUBLIC'
            ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
  FROM path p, LATERAL pg_catalog.aclexplode(
         coalesce(p.nspacl, pg_catalog.acldefault('n'::pg_catalog."char", p.nspowner))) a
 WHERE a.privilege_type {_EQ} 'CREATE' AND NOT EXISTS (SELECT 1 FROM trusted t WHERE t.oid {_EQ} a.grantee)
UNION ALL
SELECT 'FUNCTION', pg_catalog.quote_ident(p.nspname),
       pg_catalog.format('%I.%I(%s)', p.nspname, f.proname, pg_catalog.pg_get_function_identity_arguments(f.oid))
  FROM path p JOIN pg_catalog.pg_proc f ON f.pronamespace {_EQ} p.oid
 WHERE NOT EXISTS (SELECT 1 FROM trusted t WHERE t.oid {_EQ} f.proowner)
   AND EXISTS (SELECT 1 FROM pg_catalog.pg_proc b JOIN pg_catalog.pg_namespace n ON n.oid {_EQ} b.pronamespace
                WHERE b.proname {_EQ} f.proname AND n.nspname {_EQ} 'pg_catalog')
UNION ALL
SELECT 'OPERATOR', pg_catalog.quote_ident(p.nspname),
       pg_catalog.format('%I.%s (%s, %s)', p.nspname, o.oprname, pg_catalog.format_type(o.oprleft, NULL),
                         pg_catalog.format_type(o.oprright, NULL))
  FROM path p JOIN pg_catalog.pg_operator o ON o.oprnamespace {_EQ} p.oid
 WHERE NOT EXISTS (SELECT 1 FROM trusted t WHERE t.oid {_EQ} o.oprowner)
 LIMIT 21"""


class Creator(NamedTuple):
    """A role that may create in a schema (`kind` is `owner` or `creator`), or a function or operator that it made."""

    kind: str
    schema: str
    name: str


def judge(connection: Any, label: str) -> None:
    """Pin the search path of an open connection. Raises StoreError if another role could run code as intctl."""
    found = [Creator(*row) for row in connection.execute(_UNTRUSTED)]
    _refuse(found[1:], label)


def _refuse(found: Sequence[Creator], label: str) -> None:
    if not found:
        return
    for one in found:
        if one.kind == "owner":
            raise StoreError(
                f"{label}: the schema {one.schema} comes first in the search path and belongs to another role, "
                f"{one.name}. As an administrator, run: ALTER SCHEMA {one.schema} OWNER TO {one.schema};"
            )
    schemas: dict[str, list[str]] = {}
    for one in found:
        if one.kind == "creator":
            schemas.setdefault(one.schema, []).append(one.name)
    if schemas:
        revoke = " ".join(f"REVOKE CREATE ON SCHEMA {name} FROM {', '.join(of)};" for name, of in schemas.items())
        raise StoreError(
            f"{label}: another role may create functions in a schema that intctl uses, and could run code as intctl. "
            f"As the schema's owner, run: {clean(revoke)}"
        )
    drop = " ".join(f"DROP {one.kind} {one.name};" for one in found)
    raise StoreError(
        f"{label}: a schema that intctl uses has functions of another role in place of PostgreSQL's own, and would run "
        f"them. Look at them, then run as an administrator: {clean(drop)}"
    )

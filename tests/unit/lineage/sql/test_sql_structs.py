"""The fields of a struct are told apart, however it is handed on: shown by changing data in DuckDB.

``EXACT``: all that is claimed changes the column, and nothing else does. ``LOOSE``: nothing else
does; what is claimed besides is what SQL alone cannot rule out, or what so few rows do not show.
"""

from collections.abc import Iterator

import pytest
from perturbation_lab import TABLES, Lab

from headrace.lineage.sql.parse import summarize
from headrace.lineage.sql.relations import Relation, asset_relation
from headrace.lineage.sql.statement import read
from headrace.lineage.sql.tree import Names


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The database."""
    found = Lab()
    yield found
    found.connection.close()


EXACT = """\
with q as (select struct_pack(x := a, y := b) as s, c from t) select q.s.x, s.y, (s).x as x2, s['y'] as y2, struct_extract(s, 'x') as x3, c from q
with q as (select {'x': a, 'y': b} as s from t) select s.*, q.s.y as z from q
with q as (select {'x': a, 'y': b} as s from t) select s.* exclude (x), s.* like 'x%' from q
with q as (select {'x': a, 'y': b} as s from t) select s.* rename (x as w) from q
with q as (select {'x': a, 'y': b} as s from t) select unnest(s) from q
with q as (select {'x': a, 'y': {'z': b, 'w': c}} as s from t) select unnest(s, recursive := true) from q
with q as (select [{'x': a, 'y': b}, {'x': c, 'y': g}] as l from t), r as (select unnest(l) as s from q) select s.x, s.y from r
with q as (select [{'x': a, 'y': b}] as l from t) select unnest(l, recursive := true) from q
with q as (select [{'x': a, 'y': {'z': b}}] as l from t) select unnest(l, recursive := true) from q
select r.x, r.y from t, unnest([{'x': t.a, 'y': t.b}]) as u(r)
with q as (select {'p': {'x': a, 'y': b}, 'q': c} as s from t) select s.p.x, s.p.y as y, s.q, s['p'].x as x1, s.p['y'] as y1, (s).p.x as x2, s.p as p from q
with q as (select struct_insert({'x': a}, y := b) as s, struct_update({'x': a, 'y': b}, x := c) as u, struct_concat({'x': a}, {'y': b}) as k from t) select s.x, s.y, u.x as ux, u.y as uy, k.x as kx, k.y as ky from q
with q as (select {'x': a, 'y': b} as s, c from t where c is not null) select arg_max(s, c).x as mx, first(s order by c, s).y as fy from q
with q as (select {'x': a, 'y': b} as s from t), f as (select any_value(s) as s from q) select s.x, s.y from f
with q as (select {'x': a, 'y': b} as s, c, g from t where c is not null and g is not null), f as (select g, max_by(s, c * 10 + g) as s from q group by g) select g, s.x, s.y from f
with q as (select {'x': a, 'y': b} as s from t), f as (select list(s) as l from q) select l[1].x as x1, l[2]['y'] as y2, list_transform(l, lambda e: e.x) as xs, [e.y for e in l] as ys, l[1:2][1].y as y3, list_extract(l, 1).x as x4, list_first(l).y as y5 from f
select map {'k': {'x': a, 'y': b}}['k'].x as x1, map(['k'], [{'x': a, 'y': b}])['k'].y as y1 from t
with q as (select map {'k': {'x': a, 'y': b}} as m from t) select m['k'].x as x1, map_values(m)[1].y as y1, map_extract(m, 'k')[1].x as x2 from q
with q as (select {'x': a, 'y': b} as s from t union all select {'y': d, 'x': e} from u) select s.x, s.y from q
with q as (select {'x': a, 'y': b} as s from t union all select row(d, e) from u) select s.x, s.y from q
with q as (select {'x': a, 'y': b} as s from t union all by name select {'x': d, 'z': e} as s from u) select s.x, s.y, s.z from q
with q as (select {'x': a, 'y': b} as s from t union all select null) select s.x, s.y from q
with q as (select case when g > 1 then {'x': a, 'y': b} else {'y': c, 'x': g} end as s from t) select s.x, s.y from q
with q as (select {'x': a, 'y': b} as s from t), r as (select * from q), z as (from r) select s.x, s.y from z
with q as (select {'x': a, 'y': b} as s from t) select k.x, k.y from (select s as k from q) as o
with s as (select {'a': b, 'x': c} as s, a from t) select s.a, s.x from s
with s as (select {'b': a, 'x': c} as s from t) select s.b, s.x, s.s.b as b2 from s
with q as (select {'b': {'d': a}} as s, {'d': b} as b from t) select s.b.d as d1, (s).b.d as d2 from q as s
with z as (select {'q': d} as z from u), r as (select {'b': b} as s from t) select s.b from z as s, r
with q as (select {'q': d} as o from u), r as (select {'b': b} as s, c from t) select s.b, s.c from q, r as s
select t.a as x, (t).b as y, (select t).c as z from t
with q as (select t as r from t) select r.* from q
with q as (select lag(t) over (order by a, b, c, g) as l from t) select l.b, l.c from q
with q as (select first_value({'x': a, 'y': b}) over (partition by g order by a, b, c) as l from t) select l.x, l.y from q
with q as (select {'x': a, 'y': b}::struct(y int, x int) as s, row(a, b)::struct(p int, q int) as r from t) select s.x, s.y, r.p, r.q from q
select b, (select {'x': max(d), 'y': max(e)} from u where u.a = t.a).y as m from t
with recursive r as (select {'x': a, 'y': b} as s, 1 as k from t union all select {'x': s.x + 1, 'y': s.y}, k + 1 from r where k < 3) select s.x, s.y, k from r
with recursive r as (select {'x': a, 'y': b} as s, 1 as k from t union all select {'x': s.y, 'y': s.x}, k + 1 from r where k < 3) select s.x, s.y, k from r
with q as (select {'x': a, 'y': b} as s, g from t) select q.s.x, u.d from q left join u on u.g = q.g
with q as (select a, arg_max({'x': d, 'y': e}, d * 10 + e) as s from u where d is not null and e is not null group by a) select t.b, s.x from t left join q on q.a = t.a
with q as (select {'x': a, 'y': b} as s, g from t) select s.x, count(*) as n from q group by s.x having count(s.y) > 0
with q as (select {'x': a, 'y': b} as s from t) select s.x from q order by s.y, s.x limit 2
with q as (select {'x': a, 'y': b} as s from t) select distinct s.x from q where s.y > 1
with q as (select {'x': a, 'y': b} as s, id from t join n on id = g) select s.x + s.y as z, id from q
select s.p, struct_update(s, p := id).q as q2, {'k': s, 'i': id}.k.p as kp, {'k': s, 'i': id}.i as ki from n
with q as (select s, id from n union all select {'p': a, 'q': b}, c from t) select s.p, s.q, id from q
with q as (select case when id > 1 then s else {'p': id, 'q': 0} end as s from n) select s.p, s.q from q
select unnest([s, {'p': id, 'q': 1}]).p as p1 from n
with q as (select unnest([s]) as z from n) select z.p from q
select list_transform(arr, lambda x: {'v': x, 'i': id})[1].v as v1, list_transform([s], lambda x: x.p + id)[1] as p1 from n
with q as (select {'x': a, 'y': b} as s from t), z as (select s, row_number() over (order by s.y, s.x) as rn from q) select s.x, rn from z
with q as (select {'x': [{'i': a, 'j': b}], 'y': c} as s from t) select s.x[1].i as i1, s.y, list_transform(s.x, lambda e: e.j) as js, unnest(s.x).j as uj from q
select {'x': a, 'y': b}.x as p, struct_pack(x := a, y := b).y as q, {'X': a, 'y': b}.x as r from t
with q as (select array_agg({'x': a, 'y': b} order by c, a, b) as l from t) select l[1].x as x1 from q
with q as (select {'x': a, 'y': b} as s, {'x': a, 'z': c} as v from t) select s.x, v.z from q qualify row_number() over (partition by s.x order by s.y, v.z) = 1
select row(a, b)[1] as x, (a, b)[2] as y, struct_extract(row(a, b), 2) as z from t
select {'s': {'x': a, 'y': b}, 'l': [{'i': c}]}.l[1].i as i, struct_pack(a, b).b as k from t
with q as (select {'x': a, 'y': b} as s from t) select s.* replace (1 as y) from q
with q as (select [{'x': a, 'y': b}] as l, g from t) select g, unnest(l) as s from q
with q as (select {'x': {'p': a, 'q': b}} as s from t), r as (select unnest(s) from q) select x.p, x.q from r
"""  # noqa: E501

LOOSE = """\
with q as (select {'x': a, 'y': b} as s from t), r as (select first(s order by s.x, s.y) as f from q) select r.f.x + 0 as x, f.y from r
with q as (select {'x': a, 'y': b} as s, [{'x': a, 'y': b}] as l from t) select greatest(s, s).y as m, list_sort(l)[1].y as k, list_sort(l[1:1])[1].x as j from q
with q as (select list_extract([{'x': a, 'y': b}], 1) as e from t) select e.x, e.y from q
with q as (select [{'x': a, 'y': b}, {'x': b, 'y': c}] as l from t) select list_filter(l, lambda e: e.y > 1)[1].x as f1, [e.x for e in l if e.y > 1] as f2, list_transform(l, lambda e, i: e.x + i) as f3, list_transform(l, lambda e: {'k': e.y, 'm': e.x})[1].k as f4 from q
with q as (select [{'x': a, 'y': b}] as l, [{'x': c, 'y': g}] as k from t) select (l || k)[2].x as x2, list_concat(l, k)[1].y as y1, list_reverse(l)[1].x as x1, flatten([l, k])[2].y as y2 from q
with q as (select {'x': a, 'y': b} as s, {'x': b, 'y': c} as v, g from t) select coalesce(s, v).x as cx, if(g > 1, s, v).y as iy, ifnull(s, v).x as nx, (case g when 1 then s when 2 then v end).y as cy from q
select arg_max(t, b * 10 + a).c as x, first(t order by a, b, c, g).b as y from t where a is not null and b is not null
with q as (select list({'x': a, 'y': b}) over (order by a, b, c, g) as l from t) select l[1].x as x1, l[1].y as y1 from q
select (select {'x': max(a), 'y': max(b)} from t).x as m
with q as (select {'x': a, 'y': b} as s from t) select sum(s.x) as sx, max(s) as ms, count(s.y) as n from q
with q as (select {'x': a, 'y': b} as s from t) select max(s).x as mx from q
select list_zip([a], [b])[1][1] as z, map_entries(map {'k': a})[1].key as k, [a, b][1] as f from t
pivot (select g, {'x': a, 'y': b} as s from t) on g in (0, 1) using max(s)
with q as (select list({'x': a, 'y': b}) filter (where c > 0) as l from t) select l[1].x as x1, unnest(l).y as y1 from q
with q as (select list_filter([{'x': a, 'y': b}], lambda e: e.y > 1) as l from t) select unnest(l).x as x, unnest(l) as e from q
with q as (select list_filter([{'x': a, 'y': b}], lambda e: e.y > 1) as l from t) select e.x from q, unnest(l) as u(e)
select list_sort([{'x': a, 'y': b}, {'x': b, 'y': a}])[1].y as z, list_distinct([{'x': a, 'y': b}])[1].x as d from t
select list_reduce([{'x': a, 'y': b}, {'x': b, 'y': c}], lambda p, q: {'x': p.x + q.y, 'y': p.y}).x as z from t
with q as (select {'x': a, 'y': b} as s from t) select nullif(s, {'x': 1, 'y': 1}).x as n, greatest(s, {'x': 1, 'y': 1}).y as m, s::varchar as v, to_json(s)->>'x' as j from q
with q as (select {'x': a, 'y': b} as s from t union select {'x': d, 'y': e} from u) select s.x from q
with q as (select {'x': a, 'y': b} as s from t except select {'x': d, 'y': e} from u) select s.x from q
with q as (select union_value(k := a) as s, b from t) select s.k, b from q
with q as (select mode({'x': a, 'y': b}) as s, min({'x': a, 'y': b}) as m from t) select m.y from q
"""  # noqa: E501


@pytest.mark.parametrize("sql", EXACT.splitlines())
def test_a_field_is_made_from_what_made_it_and_nothing_else(lab: Lab, sql: str) -> None:
    lab.exact(sql)


@pytest.mark.parametrize("sql", LOOSE.splitlines())
def test_a_field_claims_all_that_changes_it(lab: Lab, sql: str) -> None:
    lab.check(sql)


def _tables(parts: Names) -> Relation | None:
    return asset_relation(parts[-1], TABLES[parts[-1]], None)


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "{'x': " * 60 + "a" + "}" * 60 + ".x" * 60 + " as z, b from t",
        "select " + "arr[" * 120 + "1" + "]" * 120 + " as z, id from n",
        "select " + "case when a > 1 then b else " * 150 + "c" + " end" * 150 + " as z from t",
        """with recursive r as (select {'x': a, 'y': b} as s from t
        union all select {'x': s, 'y': s.y} from r) select s.y from r""",
    ],
    ids=["structs", "items", "cases", "a struct that holds itself"],
)
def test_what_is_nested_deeply_is_read_without_an_end_to_time_or_stack(sql: str) -> None:
    found = read(summarize(sql, "duckdb"), _tables)
    assert found.problems == ()
    assert all(deps for _, deps in found.relation.columns)

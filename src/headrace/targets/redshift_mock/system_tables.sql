-- What a database of the stand-in has beside what PostgreSQL has: functions of Redshift that
-- PostgreSQL lacks or knows with another meaning, its system tables, and views that are bound late.
create schema if not exists _redshift;
grant usage on schema _redshift to public;
do $do$ begin
    if to_regtype('_redshift.super') is null then
        create domain _redshift.super as jsonb;
    end if;
end $do$;

create table if not exists _redshift.stl_load_errors (
    userid int, slice int, tbl int, starttime timestamp, session int, query int,
    filename varchar(256), line_number bigint, colname varchar(127), type varchar(10),
    col_length varchar(10), position int, raw_line varchar(1024), raw_field_value varchar(1024),
    err_code int, err_reason varchar(100), is_partial int, start_offset bigint, copy_job_id bigint
);
create table if not exists _redshift.designs (
    tbl oid primary key, style text, key text, sort text[], interleaved boolean, encodings jsonb
);
create table if not exists _redshift.changes (tbl oid not null, at timestamptz not null, is_ddl boolean not null);
create index if not exists changes_of_table on _redshift.changes (tbl, is_ddl, at);
create table if not exists _redshift.late_views (view oid primary key);
create sequence if not exists _redshift.late_numbers;

-- dates ------------------------------------------------------------------------------------------
create or replace function _redshift.rs_getdate() returns timestamp language sql stable as
$$ select date_trunc('second', statement_timestamp() at time zone 'UTC') $$;
create or replace function _redshift.rs_sysdate() returns timestamp language sql stable as
$$ select transaction_timestamp() at time zone 'UTC' $$;
create or replace function _redshift.units(unit text, n numeric) returns interval language sql immutable as
$$ select case unit
    when 'quarter' then make_interval(months => 3 * n::int)
    when 'month' then make_interval(months => n::int)
    when 'year' then make_interval(years => n::int)
    when 'decade' then make_interval(years => 10 * n::int)
    when 'century' then make_interval(years => 100 * n::int)
    when 'millennium' then make_interval(years => 1000 * n::int)
    when 'week' then make_interval(weeks => n::int)
    when 'day' then make_interval(days => n::int)
    when 'millisecond' then n::bigint * interval '1 millisecond'
    when 'microsecond' then n::bigint * interval '1 microsecond'
    else n::bigint * ('1 ' || unit)::interval end $$;
create or replace function _redshift.rs_dateadd(unit text, n numeric, at timestamp) returns timestamp
language sql immutable as $$ select at + _redshift.units(unit, trunc(n)) $$;
create or replace function _redshift.rs_dateadd(unit text, n numeric, at date) returns timestamp
language sql immutable as $$ select at + _redshift.units(unit, trunc(n)) $$;
create or replace function _redshift.rs_dateadd(unit text, n numeric, at timestamptz)
returns timestamptz language sql stable as $$ select at + _redshift.units(unit, trunc(n)) $$;
create or replace function _redshift.rs_dateadd(unit text, n numeric, at time) returns time
language sql immutable as $$ select at + _redshift.units(unit, trunc(n)) $$;
-- the number of boundaries between two moments
create or replace function _redshift.rs_datediff(unit text, a timestamp, b timestamp) returns bigint
language sql immutable as $$ select case unit
    when 'year' then extract(year from b)::bigint - extract(year from a)::bigint
    when 'decade' then floor(extract(year from b) / 10)::bigint - floor(extract(year from a) / 10)::bigint
    when 'century' then extract(century from b)::bigint - extract(century from a)::bigint
    when 'millennium' then extract(millennium from b)::bigint - extract(millennium from a)::bigint
    when 'quarter' then 4 * (extract(year from b) - extract(year from a))::bigint
        + (extract(quarter from b) - extract(quarter from a))::bigint
    when 'month' then 12 * (extract(year from b) - extract(year from a))::bigint
        + (extract(month from b) - extract(month from a))::bigint
    when 'week' then ((date_trunc('week', b + interval '1 day')::date
        - date_trunc('week', a + interval '1 day')::date) / 7)::bigint
    when 'day' then (b::date - a::date)::bigint
    when 'hour' then (extract(epoch from date_trunc('hour', b) - date_trunc('hour', a)) / 3600)::bigint
    when 'minute' then (extract(epoch from date_trunc('minute', b) - date_trunc('minute', a)) / 60)::bigint
    when 'millisecond' then (extract(epoch from date_trunc('milliseconds', b)
        - date_trunc('milliseconds', a)) * 1000)::bigint
    when 'microsecond' then (extract(epoch from b - a) * 1000000)::bigint
    else extract(epoch from date_trunc('second', b) - date_trunc('second', a))::bigint end $$;
create or replace function _redshift.rs_datediff(unit text, a timestamptz, b timestamptz)
returns bigint language sql stable as
$$ select _redshift.rs_datediff(unit, a at time zone 'UTC', b at time zone 'UTC') $$;
create or replace function _redshift.rs_datediff(unit text, a date, b date) returns bigint
language sql immutable as $$ select _redshift.rs_datediff(unit, a::timestamp, b::timestamp) $$;
create or replace function _redshift.rs_datediff(unit text, a timestamp, b timestamptz)
returns bigint language sql stable as
$$ select _redshift.rs_datediff(unit, a, b at time zone 'UTC') $$;
create or replace function _redshift.rs_datediff(unit text, a timestamptz, b timestamp)
returns bigint language sql stable as
$$ select _redshift.rs_datediff(unit, a at time zone 'UTC', b) $$;
create or replace function _redshift.rs_datediff(unit text, a date, b timestamp) returns bigint
language sql immutable as $$ select _redshift.rs_datediff(unit, a::timestamp, b) $$;
create or replace function _redshift.rs_datediff(unit text, a timestamp, b date) returns bigint
language sql immutable as $$ select _redshift.rs_datediff(unit, a, b::timestamp) $$;
create or replace function _redshift.rs_datediff(unit text, a date, b timestamptz) returns bigint
language sql stable as $$ select _redshift.rs_datediff(unit, a::timestamp, b at time zone 'UTC') $$;
create or replace function _redshift.rs_datediff(unit text, a timestamptz, b date) returns bigint
language sql stable as $$ select _redshift.rs_datediff(unit, a at time zone 'UTC', b::timestamp) $$;
create or replace function _redshift.rs_last_day(at timestamp) returns date language sql immutable as
$$ select (date_trunc('month', at) + interval '1 month' - interval '1 day')::date $$;
create or replace function _redshift.rs_last_day(at date) returns date language sql immutable as
$$ select _redshift.rs_last_day(at::timestamp) $$;
create or replace function _redshift.rs_add_months(at timestamp, n int) returns timestamp
language sql immutable as $$ select case when at::date = _redshift.rs_last_day(at)
    then _redshift.rs_last_day(date_trunc('month', at) + make_interval(months => n)) + at::time
    else at + make_interval(months => n) end $$;
create or replace function _redshift.rs_add_months(at date, n int) returns timestamp
language sql immutable as $$ select _redshift.rs_add_months(at::timestamp, n) $$;
create or replace function _redshift.rs_months_between(b date, a date) returns double precision
language sql immutable as $$ select case
    when extract(day from a) = extract(day from b)
        or (a = _redshift.rs_last_day(a) and b = _redshift.rs_last_day(b))
    then _redshift.rs_datediff('month', a, b)::double precision
    else _redshift.rs_datediff('month', a, b)
        + (extract(day from b) - extract(day from a))::double precision / 31 end $$;
create or replace function _redshift.rs_next_day(at date, day text) returns date
language sql immutable as $$ select min(d)::date
    from generate_series(at + 1, at + 7, interval '1 day') as d
    where lower(to_char(d, 'dy')) = lower(left(day, 3))
        or (length(day) < 3 and lower(left(to_char(d, 'dy'), length(day))) = lower(day)) $$;
create or replace function _redshift.rs_convert_timezone(zone text, at timestamp) returns timestamp
language sql stable as $$ select at at time zone 'UTC' at time zone zone $$;
create or replace function _redshift.rs_convert_timezone(source text, zone text, at timestamp)
returns timestamp language sql stable as $$ select at at time zone source at time zone zone $$;
create or replace function _redshift.rs_convert_timezone(zone text, at timestamptz) returns timestamp
language sql stable as $$ select at at time zone zone $$;
create or replace function _redshift.rs_convert_timezone(source text, zone text, at timestamptz)
returns timestamp language sql stable as
$$ select at at time zone 'UTC' at time zone source at time zone zone $$;
create or replace function _redshift.rs_timezone(zone text, at timestamp) returns timestamptz
language sql stable as $$ select at at time zone zone $$;
create or replace function _redshift.rs_timezone(zone text, at timestamptz) returns timestamp
language sql stable as $$ select at at time zone zone $$;
create or replace function _redshift.rs_trunc(at timestamp) returns date language sql immutable as
$$ select at::date $$;
create or replace function _redshift.rs_trunc(at date) returns date language sql immutable as
$$ select at $$;
create or replace function _redshift.rs_trunc(at timestamptz) returns date language sql stable as
$$ select (at at time zone 'UTC')::date $$;

-- numbers ----------------------------------------------------------------------------------------
create or replace function _redshift.rs_trunc(x numeric) returns numeric language sql immutable as
$$ select trunc(x) $$;
create or replace function _redshift.rs_trunc(x double precision) returns double precision
language sql immutable as $$ select trunc(x) $$;
create or replace function _redshift.rs_trunc(x numeric, n int) returns numeric
language sql immutable as $$ select trunc(x, n) $$;
create or replace function _redshift.rs_trunc(x double precision, n int) returns double precision
language sql immutable as $$ select trunc(x::numeric, n)::double precision $$;
create or replace function _redshift.rs_round(x numeric) returns numeric language sql immutable as
$$ select round(x) $$;
create or replace function _redshift.rs_round(x double precision) returns double precision
language sql immutable as $$ select round(x::numeric)::double precision $$;
create or replace function _redshift.rs_round(x numeric, n int) returns numeric
language sql immutable as $$ select round(x, n) $$;
create or replace function _redshift.rs_round(x double precision, n int) returns double precision
language sql immutable as $$ select round(x::numeric, n)::double precision $$;
-- the average of whole numbers is a whole number: the second argument is one of them
create or replace function _redshift.rs_average(average numeric, one bigint) returns bigint
language sql immutable as $$ select trunc(average)::bigint $$;
create or replace function _redshift.rs_average(average numeric, one int) returns int
language sql immutable as $$ select trunc(average)::int $$;
create or replace function _redshift.rs_average(average numeric, one smallint) returns int
language sql immutable as $$ select trunc(average)::int $$;
create or replace function _redshift.rs_average(average numeric, one numeric) returns numeric
language sql immutable as $$ select average $$;
create or replace function _redshift.rs_average(average double precision, one double precision)
returns double precision language sql immutable as $$ select average $$;
create or replace function _redshift.rs_average(average interval, one interval) returns interval
language sql immutable as $$ select average $$;
create or replace function _redshift.rs_to_hex(x bigint) returns text language sql immutable as
$$ select to_hex(x) $$;
create or replace function _redshift.rs_to_hex(x bytea) returns text language sql immutable as
$$ select encode(x, 'hex') $$;
create or replace function _redshift.rs_to_hex(x text) returns text language sql immutable as
$$ select encode(convert_to(x, 'UTF8'), 'hex') $$;
create or replace function _redshift.rs_from_hex(x text) returns bytea language sql immutable as
$$ select decode(x, 'hex') $$;
create or replace function _redshift.rs_strtol(x text, base int) returns bigint language plpgsql immutable as
$$ declare total bigint := 0; digit int; sign int := 1; c text;
begin
    if x like '-%' then sign := -1; x := substr(x, 2); end if;
    if base = 16 then
        x := regexp_replace(lower(x), '^0x', '');
        if x ~ '^[0-9a-f]{1,15}$' then return sign * ('x' || lpad(x, 16, '0'))::bit(64)::bigint; end if;
    end if;
    foreach c in array string_to_array(lower(x), null) loop
        digit := strpos('0123456789abcdefghijklmnopqrstuvwxyz', c) - 1;
        if digit < 0 or digit >= base then
            raise exception 'The input % is not valid to be converted to base %', x, base;
        end if;
        total := total * base + digit;
    end loop;
    return sign * total;
end $$;
create or replace function _redshift.rs_dlog10(x double precision) returns double precision
language sql immutable as $$ select log(x) $$;
create or replace function _redshift.rs_dlog1(x double precision) returns double precision
language sql immutable as $$ select ln(x) $$;
create or replace function _redshift.rs_dexp(x double precision) returns double precision
language sql immutable as $$ select exp(x) $$;

-- texts ------------------------------------------------------------------------------------------
create or replace function _redshift.rs_len(x text) returns int language sql immutable as
$$ select length(x) $$;
create or replace function _redshift.rs_len(x bytea) returns int language sql immutable as
$$ select length(x) $$;
create or replace function _redshift.rs_textlen(x text) returns int language sql immutable as
$$ select length(x) $$;
create or replace function _redshift.rs_charindex(part text, x text) returns int
language sql immutable as $$ select strpos(x, part) $$;
create or replace function _redshift.rs_regexp_replace(x text, pattern text, new text default '')
returns text language sql immutable as
$$ select regexp_replace(x, pattern, regexp_replace(new, '\$(\d)', '\\\1', 'g'), 'g') $$;
create or replace function _redshift.rs_regexp_replace(x text, pattern text, new text, start int)
returns text language sql immutable as
$$ select left(x, start - 1) || _redshift.rs_regexp_replace(substr(x, start), pattern, new) $$;
create or replace function _redshift.rs_regexp_substr(
    x text, pattern text, start int default 1, occurrence int default 1
) returns text language sql immutable as
$$ select coalesce(regexp_substr(x, pattern, start, occurrence), case when x is not null then '' end) $$;
-- with 'e', what the first brackets of the pattern have found
create or replace function _redshift.rs_regexp_substr(
    x text, pattern text, start int, occurrence int, parameters text
) returns text language sql immutable as
$$ select coalesce(
    regexp_substr(x, pattern, start, occurrence, case when parameters ~ 'i' then 'i' else 'c' end,
        case when parameters ~ 'e' then 1 else 0 end), case when x is not null then '' end) $$;
create or replace function _redshift.rs_regexp_count(x text, pattern text, start int default 1)
returns int language sql immutable as $$ select regexp_count(x, pattern, start) $$;
create or replace function _redshift.rs_regexp_instr(
    x text, pattern text, start int default 1, occurrence int default 1
) returns int language sql immutable as $$ select regexp_instr(x, pattern, start, occurrence) $$;
create or replace function _redshift.rs_sha2(x text, bits int) returns text language sql immutable as
$$ select encode(case bits when 224 then sha224(convert_to(x, 'UTF8'))
    when 384 then sha384(convert_to(x, 'UTF8')) when 512 then sha512(convert_to(x, 'UTF8'))
    when 256 then sha256(convert_to(x, 'UTF8')) when 0 then sha256(convert_to(x, 'UTF8')) end, 'hex') $$;

-- JSON and SUPER ---------------------------------------------------------------------------------
create or replace function _redshift.as_json(x text) returns jsonb language plpgsql immutable as
$$ begin return x::jsonb; exception when others then return null; end $$;
create or replace function _redshift.rs_path(value jsonb, path text[]) returns jsonb
language sql immutable as $$ select nullif(value #> path, 'null'::jsonb) $$;
create or replace function _redshift.rs_as_text(value jsonb) returns text language sql immutable as
$$ select case when jsonb_typeof(value) in ('object', 'array') then null else value #>> '{}' end $$;
create or replace function _redshift.rs_as_text(value text) returns text language sql immutable as
$$ select value $$;
-- a text is no number here: PostgreSQL's cast of it would say so with an error, Redshift gives null
create or replace function _redshift.rs_as_scalar(value jsonb) returns text language sql immutable as
$$ select case when jsonb_typeof(value) in ('number', 'boolean', 'string') then value #>> '{}' end $$;
create or replace function _redshift.rs_items(value jsonb) returns setof jsonb
language sql immutable as $$ select nullif(item, 'null'::jsonb) from jsonb_array_elements(
    case when jsonb_typeof(value) = 'array' then value
        when value is not null then jsonb_build_array(value) end) as item $$;
-- a cast to SUPER parses nothing: a text becomes a text
create or replace function _redshift.as_super(x text) returns jsonb language sql immutable as
$$ select to_jsonb(x) $$;
create or replace function _redshift.as_super(x jsonb) returns jsonb language sql immutable as $$ select x $$;
create or replace function _redshift.as_super(x numeric) returns jsonb language sql immutable as
$$ select to_jsonb(x) $$;
create or replace function _redshift.as_super(x double precision) returns jsonb language sql immutable as
$$ select to_jsonb(x) $$;
create or replace function _redshift.as_super(x boolean) returns jsonb language sql immutable as
$$ select to_jsonb(x) $$;
create or replace function _redshift.rs_json_parse(x text) returns _redshift.super
language sql immutable as $$ select x::jsonb $$;
create or replace function _redshift.rs_can_json_parse(x text) returns boolean
language sql immutable as $$ select x is json $$;
create or replace function _redshift.rs_json_serialize(x jsonb) returns text
language sql immutable as $$ select _redshift.compact(x) $$;
create or replace function _redshift.compact(x jsonb) returns text language sql immutable as
$$ select case jsonb_typeof(x)
    when 'object' then '{' || (select coalesce(string_agg(to_json(key)::text || ':'
        || _redshift.compact(value), ','), '') from jsonb_each(x)) || '}'
    when 'array' then '[' || (select coalesce(string_agg(_redshift.compact(value), ',' order by at), '')
        from jsonb_array_elements(x) with ordinality as e (value, at)) || ']'
    when 'string' then to_json(x #>> '{}')::text when 'null' then 'null'
    else x #>> '{}' end $$;
create or replace function _redshift.rs_json_typeof(x jsonb) returns text language sql immutable as
$$ select jsonb_typeof(x) $$;
create or replace function _redshift.rs_is_valid_json(x text) returns boolean
language sql immutable as $$ select x is json object or x is json array $$;
create or replace function _redshift.rs_is_valid_json_array(x text) returns boolean
language sql immutable as $$ select x is json array $$;
create or replace function _redshift.rs_json_array_length(x text, lax boolean default false)
returns int language sql immutable as
$$ select jsonb_array_length(case when lax then _redshift.as_json(x) else x::jsonb end) $$;
create or replace function _redshift.rs_json_extract_array_element_text(
    x text, at int, lax boolean default false
) returns text language sql immutable as
$$ select (case when lax then _redshift.as_json(x) else x::jsonb end) ->> at $$;
-- '' where there is nothing, as Redshift has it; the last argument may be `true`: null for no JSON
create or replace function _redshift.rs_json_extract_path_text(x text, variadic path text[])
returns text language sql immutable as
$$ select case when x is null then null else coalesce(x::jsonb #>> path, '') end $$;
create or replace function _redshift.rs_json_extract_path_text(x text, a text, lax boolean)
returns text language sql immutable as
$$ select coalesce(_redshift.as_json(x) #>> array[a], case when _redshift.as_json(x) is not null then '' end) $$;
create or replace function _redshift.rs_json_extract_path_text(x text, a text, b text, lax boolean)
returns text language sql immutable as
$$ select coalesce(_redshift.as_json(x) #>> array[a, b], case when _redshift.as_json(x) is not null then '' end) $$;
create or replace function _redshift.rs_array(variadic items anyarray) returns jsonb
language sql immutable as $$ select to_jsonb(items) $$;
create or replace function _redshift.rs_array() returns jsonb language sql immutable as
$$ select '[]'::jsonb $$;
create or replace function _redshift.rs_object(k text, v anyelement) returns jsonb
language sql immutable as $$ select jsonb_build_object(k, v) $$;
create or replace function _redshift.rs_object() returns jsonb language sql immutable as
$$ select '{}'::jsonb $$;
create or replace function _redshift.rs_array_concat(a jsonb, b jsonb) returns jsonb
language sql immutable as $$ select a || b $$;
create or replace function _redshift.rs_array_flatten(a jsonb) returns jsonb
language sql immutable as $$ select coalesce(jsonb_agg(inner_item), '[]')
    from jsonb_array_elements(a) as item, jsonb_array_elements(
        case when jsonb_typeof(item) = 'array' then item else jsonb_build_array(item) end) as inner_item $$;
create or replace function _redshift.rs_subarray(a jsonb, start int, size int) returns jsonb
language sql immutable as $$ select coalesce(jsonb_agg(item order by at), '[]')
    from jsonb_array_elements(a) with ordinality as e (item, at) where at > start and at <= start + size $$;
create or replace function _redshift.rs_get_array_length(a jsonb) returns int
language sql immutable as $$ select case when jsonb_typeof(a) = 'array' then jsonb_array_length(a) end $$;
create or replace function _redshift.rs_split_to_array(x text, by text default ',') returns jsonb
language sql immutable as $$ select to_jsonb(string_to_array(x, by)) $$;
create or replace function _redshift.rs_is_array(a jsonb) returns boolean language sql immutable as
$$ select jsonb_typeof(a) = 'array' $$;
create or replace function _redshift.rs_is_object(a jsonb) returns boolean language sql immutable as
$$ select jsonb_typeof(a) = 'object' $$;
create or replace function _redshift.rs_is_scalar(a jsonb) returns boolean language sql immutable as
$$ select jsonb_typeof(a) not in ('object', 'array') $$;
create or replace function _redshift.rs_is_varchar(a jsonb) returns boolean language sql immutable as
$$ select jsonb_typeof(a) = 'string' $$;
create or replace function _redshift.rs_is_boolean(a jsonb) returns boolean language sql immutable as
$$ select jsonb_typeof(a) = 'boolean' $$;
create or replace function _redshift.rs_is_integer(a jsonb) returns boolean language sql immutable as
$$ select jsonb_typeof(a) = 'number' and a::text !~ '[.eE]' $$;
create or replace function _redshift.rs_is_decimal(a jsonb) returns boolean language sql immutable as
$$ select jsonb_typeof(a) = 'number' $$;
do $do$ begin
    if not exists (select from pg_cast where castsource = 'jsonb'::regtype and casttarget = 'text'::regtype) then
        -- a text in SUPER is itself as varchar, without quotes
        create cast (jsonb as text) with function _redshift.rs_as_text(jsonb);
        create cast (jsonb as varchar) with function _redshift.rs_as_text(jsonb);
    end if;
end $do$;

-- views that are bound when they are read ---------------------------------------------------------
create or replace procedure _redshift.create_late_view(name text, query text, is_replaced boolean)
language plpgsql as $$
declare
    columns text; function text := format('_redshift.late_%s', nextval('_redshift.late_numbers'));
begin
    execute 'create temporary view _redshift_probe as ' || query;
    select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
    into columns from pg_attribute
    where attrelid = 'pg_temp._redshift_probe'::regclass and attnum > 0;
    drop view pg_temp._redshift_probe;
    execute format('create function %s() returns table (%s) language sql stable as %L', function, columns, query);
    execute format('create %s view %s as select * from %s()',
        case when is_replaced then 'or replace' else '' end, name, function);
    insert into _redshift.late_views values (name::regclass) on conflict do nothing;
end $$;
create or replace function _redshift.pg_get_late_binding_view_cols()
returns table (view_schema name, view_name name, col_name name, col_type varchar, ordinal_position int)
language sql stable as $$
    select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnum::int
    from _redshift.late_views as l inner join pg_class as c on c.oid = l.view
    inner join pg_namespace as n on n.oid = c.relnamespace
    inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped $$;

-- how tables are stored, and when they changed ----------------------------------------------------
-- the design of a table comes in a comment of the statement that creates it
create or replace procedure _redshift.change_design(of regclass, said jsonb) language plpgsql
security definer as $$
begin
    insert into _redshift.designs (tbl, style, key, sort, interleaved, encodings)
    select of, d.style, d.key, d.sort, d.interleaved, d.encodings
    from (select 1) as one left join _redshift.designs as d on d.tbl = to_regclass(said ->> 'like')
    on conflict do nothing;
    update _redshift.designs set
        style = coalesce(said ->> 'style', style),
        key = case when said ? 'style' then said ->> 'key' else key end,
        sort = case when said ? 'sort' then array(select jsonb_array_elements_text(said -> 'sort')) else sort end,
        interleaved = case when said ? 'sort' then coalesce((said ->> 'interleaved')::boolean, false) else interleaved end,
        encodings = coalesce(encodings, '{}') || coalesce(said -> 'encodings', '{}')
    where tbl = of;
end $$;
create or replace function _redshift.note_ddl() returns event_trigger language plpgsql
security definer as $$
declare made record; said jsonb;
begin
    for made in
        select c.objid, c.command_tag, t.relname, t.relkind from pg_event_trigger_ddl_commands() as c
        inner join pg_class as t on t.oid = c.objid and t.relkind in ('r', 'v') and t.relpersistence <> 't'
        where c.classid = 'pg_class'::regclass and c.schema_name <> '_redshift'
    loop
        insert into _redshift.changes values (made.objid, clock_timestamp(), true);
        continue when made.relkind = 'v' or made.command_tag not in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO');
        execute format('create or replace trigger _redshift_changes after insert or update or delete or truncate '
            'on %s for each statement execute function _redshift.note_change()', made.objid::regclass);
        for said in
            select one[1]::jsonb from regexp_matches(current_query(), '/\*headrace_design (.*?)\*/', 'g') as one
        loop
            if to_regclass(said ->> 'name') = made.objid then
                call _redshift.change_design(made.objid::regclass, said);
            end if;
        end loop;
    end loop;
end $$;
create or replace function _redshift.note_change() returns trigger language plpgsql security definer as $$
begin
    insert into _redshift.changes values (tg_relid, clock_timestamp(), false);
    return null;
end $$;
create or replace function _redshift.note_drop() returns event_trigger language plpgsql
security definer as $$
begin
    delete from _redshift.designs where tbl in (select objid from pg_event_trigger_dropped_objects());
    delete from _redshift.changes where tbl in (select objid from pg_event_trigger_dropped_objects());
end $$;
do $do$ begin
    if not exists (select from pg_event_trigger where evtname = '_redshift_ddl') then
        create event trigger _redshift_ddl on ddl_command_end
            when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'CREATE VIEW', 'ALTER VIEW')
            execute function _redshift.note_ddl();
        create event trigger _redshift_drop on sql_drop
            when tag in ('DROP TABLE', 'DROP VIEW', 'DROP SCHEMA') execute function _redshift.note_drop();
    end if;
end $do$;
delete from _redshift.changes as c where exists (
    select from _redshift.changes as later
    where later.tbl = c.tbl and later.is_ddl = c.is_ddl and later.at > c.at
);
-- what Redshift chooses where nothing is said, see AWS's page of compression encodings; raw is 'none'
create or replace function _redshift.encoding_of(tbl oid, name text, kind text) returns text language sql stable as
$$ select coalesce(
    (select nullif(replace(d.encodings ->> name, 'raw', 'none'), 'auto') from _redshift.designs as d
        where d.tbl = $1),
    case when (select c.relkind from pg_class as c where c.oid = $1) <> 'r' then 'none'
        when name = any((select d.sort from _redshift.designs as d where d.tbl = $1)::text[]) then 'none'
        when kind in ('boolean', 'real', 'double precision') then 'none'
        when kind like 'character%' or kind = 'binary varying' then 'lzo'
        when kind = 'super' then 'zstd' else 'az64' end) $$;
create or replace function _redshift.sort_position(sort text[], interleaved boolean, name text) returns int
language sql immutable as $$ select coalesce(
    array_position(sort, name) * case when interleaved and array_position(sort, name) % 2 = 0 then -1 else 1 end, 0) $$;
create or replace function _redshift.dist_style(style text, key text) returns text language sql immutable as
$$ select case when style = 'key' then format('KEY(%s)', key) when style in ('even', 'all') then upper(style)
    else 'AUTO(ALL)' end $$;

-- system tables -----------------------------------------------------------------------------------
create or replace function _redshift.version() returns text language sql immutable as
$$ select 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 '
    '(Red Hat 3.4.2-6.fc3), Redshift 1.0.117891 (stand-in of Headrace)' $$;
create or replace view _redshift.information_columns as
select
    table_catalog, table_schema, table_name, column_name, ordinal_position::int, column_default,
    is_nullable,
    case when domain_name = 'super' or data_type in ('jsonb', 'json') then 'super'
        when data_type = 'bytea' then 'binary varying'
        when data_type = 'text' then 'character varying' else data_type end as data_type,
    case when data_type in ('text', 'character varying')
        then coalesce(character_maximum_length::int, 65535)
        else character_maximum_length::int end as character_maximum_length,
    character_octet_length::int, numeric_precision::int, numeric_precision_radix::int,
    numeric_scale::int, datetime_precision::int, interval_type, interval_precision,
    udt_catalog, udt_schema, udt_name, domain_name
from information_schema.columns
where table_schema <> '_redshift' and table_schema not like 'pg_toast%';
create or replace view _redshift.information_tables as
select * from information_schema.tables where table_schema <> '_redshift';
create or replace view _redshift.information_views as
select * from information_schema.views where table_schema <> '_redshift';
create or replace view _redshift.information_schemata as
select * from information_schema.schemata where schema_name <> '_redshift';
create or replace view _redshift.svv_redshift_columns as
select
    table_catalog as database_name, table_schema as schema_name, table_name, column_name,
    ordinal_position, case data_type
        when 'character varying' then format('character varying(%s)', character_maximum_length)
        when 'character' then format('character(%s)', character_maximum_length)
        when 'numeric' then format('numeric(%s,%s)', coalesce(numeric_precision, 38), coalesce(numeric_scale, 10))
        else data_type end as data_type,
    column_default, is_nullable, _redshift.encoding_of(c.tbl, column_name, data_type) as encoding,
    coalesce(column_name = d.key, false) as distkey,
    _redshift.sort_position(d.sort, d.interleaved, column_name) as sortkey, ''::text as column_acl,
    null::text as remarks
from (select *, to_regclass(format('%I.%I', table_schema, table_name))::oid as tbl from _redshift.information_columns) as c
left join _redshift.designs as d on d.tbl = c.tbl
where table_schema not in ('pg_catalog', 'information_schema');
create or replace view _redshift.svv_all_columns as
select
    table_catalog as database_name, table_schema as schema_name, table_name, column_name,
    ordinal_position, column_default, is_nullable, data_type, character_maximum_length,
    numeric_precision, numeric_scale, null::text as remarks
from _redshift.information_columns
where table_schema not in ('pg_catalog', 'information_schema');
create or replace view _redshift.svv_columns as
select *, null::text as remarks from _redshift.information_columns;
create or replace view _redshift.svv_tables as
select table_catalog, table_schema, table_name, table_type, null::text as remarks from _redshift.information_tables;
create or replace view _redshift.svv_redshift_tables as
select table_catalog as database_name, table_schema as schema_name, table_name,
    case table_type when 'BASE TABLE' then 'TABLE' else table_type end as table_type,
    ''::text as table_acl, null::text as remarks
from _redshift.information_tables where table_schema not in ('pg_catalog', 'information_schema');
create or replace view _redshift.svv_all_tables as select * from _redshift.svv_redshift_tables;
create or replace view _redshift.svv_redshift_schemas as
select current_database()::text as database_name, nspname::text as schema_name, nspowner::int as schema_owner,
    'local'::text as schema_type, ''::text as schema_acl, ''::text as schema_option
from pg_namespace where nspname <> '_redshift' and nspname not like 'pg\_t%';
create or replace view _redshift.svv_all_schemas as
select *, null::text as source_database from _redshift.svv_redshift_schemas;
create or replace view _redshift.svv_redshift_databases as
select datname::text as database_name, datdba::int as database_owner, 'local'::text as database_type,
    ''::text as database_acl, ''::text as database_options, 'Snapshot Isolation'::text as database_isolation_level
from pg_database where not datistemplate;
create or replace view _redshift.pg_database_info as
select datname, oid as datid, datdba, datallowconn, datconnlimit from pg_database;
create or replace view _redshift.svv_external_schemas as
select 0::oid as esoid, 0::smallint as eskind, ''::text as schemaname, 0 as esowner, ''::text as databasename,
    ''::text as esoptions where false;
create or replace view _redshift.svv_external_tables as
select ''::text as schemaname, ''::text as tablename, ''::text as tabletype, ''::text as location where false;
create or replace view _redshift.svv_external_columns as
select ''::text as redshift_database_name, ''::text as schemaname, ''::text as tablename, ''::text as columnname,
    ''::text as external_type, 0 as columnnum, 0 as part_key, ''::text as is_nullable where false;
create or replace view _redshift.svv_table_info as
select
    current_database()::text as database, n.nspname::text as schema, c.oid as table_id,
    c.relname::text as "table", 'Y'::text as encoded, _redshift.dist_style(d.style, d.key) as diststyle,
    case when d.sort is null then 'AUTO(SORTKEY)' when d.interleaved then 'INTERLEAVED' else d.sort[1] end as sortkey1,
    coalesce((select max(case when a.atttypmod > 4 then a.atttypmod - 4 else 65535 end) from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0 and a.atttypid in ('varchar'::regtype, 'text'::regtype)), 0) as max_varchar,
    case when d.sort[1] is not null then 'none' end as sortkey1_enc, coalesce(cardinality(d.sort), 0) as sortkey_num,
    (pg_total_relation_size(c.oid) / 1048576)::bigint as size, 0::numeric as pct_used,
    0::bigint as empty, 0::numeric as unsorted, 0::numeric as stats_off,
    coalesce(greatest(c.reltuples, 0), 0)::numeric as tbl_rows, 0::numeric as skew_sortkey1,
    0::numeric as skew_rows, coalesce(greatest(c.reltuples, 0), 0)::numeric as estimated_visible_rows,
    null::text as risk_event, null::numeric as vacuum_sort_benefit
from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
left join _redshift.designs as d on d.tbl = c.oid
where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema', '_redshift');
create or replace view _redshift.pg_table_def as
select table_schema as schemaname, table_name as tablename, column_name as "column",
    case data_type
        when 'character varying' then format('character varying(%s)', character_maximum_length)
        when 'character' then format('character(%s)', character_maximum_length)
        when 'numeric' then format('numeric(%s,%s)', coalesce(numeric_precision, 38), coalesce(numeric_scale, 10))
        else data_type end as type,
    _redshift.encoding_of(c.tbl, column_name, data_type) as encoding,
    coalesce(column_name = d.key, false) as distkey,
    _redshift.sort_position(d.sort, d.interleaved, column_name) as sortkey, is_nullable = 'NO' as "notnull"
from (select *, to_regclass(format('%I.%I', table_schema, table_name))::oid as tbl from _redshift.information_columns) as c
left join _redshift.designs as d on d.tbl = c.tbl
where table_schema = any(current_schemas(false)) or table_schema = 'pg_catalog';
create or replace view _redshift.pg_user_info as
select usename, usesysid, usecreatedb, usesuper, usecatupd, passwd, valuntil, useconfig, 'UNLIMITED'::text as useconnlimit
from (select *, false as usecatupd from pg_user) as u;
create or replace view _redshift.svv_user_info as
select usename as user_name, usesysid as user_id, usecreatedb as createdb, usesuper as superuser,
    false as catalog_update, 'UNLIMITED'::text as connection_limit from pg_user;
create or replace view _redshift.svl_user_info as select * from _redshift.pg_user_info;
create or replace view _redshift.stv_sessions as
select backend_start as starttime, pid as process, usename::text as user_name, datname::text as db_name,
    0 as timeout_sec from pg_stat_activity where datname is not null;
create or replace view _redshift.stv_recents as
select usesysid::int as userid, case state when 'active' then 'Running' else 'Done' end as status,
    query_start as starttime, 0 as duration, usename::text as user_name, datname::text as db_name, query, pid
from pg_stat_activity where datname is not null;
create or replace view _redshift.stl_loaderror_detail as
select userid, slice, session, query, filename, line_number, null::int as field, colname, raw_field_value as value,
    0 as is_null, type, col_length from _redshift.stl_load_errors;
create or replace view _redshift.sys_load_error_detail as
select userid as user_id, query as query_id, 0::bigint as transaction_id, session as session_id,
    current_database()::text as database_name, tbl as table_id, starttime as start_time, filename as file_name,
    line_number, colname as column_name, type as column_type, col_length as column_length, position,
    err_code as error_code, err_reason as error_message from _redshift.stl_load_errors;

create or replace view _redshift.show_databases as
select database_name, database_owner, database_type, database_acl, database_options as parameters,
    database_isolation_level from _redshift.svv_redshift_databases;
create or replace view _redshift.show_schemas as
select database_name, schema_name, schema_owner, schema_type, schema_acl, null::text as source_database, schema_option
from _redshift.svv_redshift_schemas;
create or replace view _redshift.show_tables as
select t.database_name, t.schema_name, t.table_name, t.table_type, t.table_acl, t.remarks,
    pg_get_userbyid(c.relowner)::text as owner, (select max(at at time zone 'UTC') from _redshift.changes where tbl = c.oid and is_ddl) as last_altered_time,
    case when c.relkind <> 'v' then (select max(at at time zone 'UTC') from _redshift.changes where tbl = c.oid)
        end as last_modified_time,
    case when c.relkind = 'r' then _redshift.dist_style(d.style, d.key) end as dist_style,
    case c.relkind when 'v' then 'REGULAR VIEW' when 'm' then 'MATERIALIZED VIEW' else 'REGULAR TABLE' end as table_subtype
from _redshift.svv_redshift_tables as t
inner join pg_class as c on c.oid = to_regclass(format('%I.%I', t.schema_name, t.table_name))
left join _redshift.designs as d on d.tbl = c.oid;
create or replace view _redshift.svv_relation_privileges as
select n.nspname::text as namespace_name, c.relname::text as relation_name, acl.privilege_type,
    acl.grantee::int as identity_id, case acl.grantee when 0 then 'public' else pg_get_userbyid(acl.grantee)::text end as identity_name,
    case when acl.grantee = 0 then 'public' when not u.rolcanlogin then 'group' else 'user' end as identity_type,
    acl.is_grantable as admin_option
from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
cross join aclexplode(c.relacl) as acl left join pg_roles as u on u.oid = acl.grantee
where acl.grantee <> c.relowner and n.nspname not in ('pg_catalog', 'information_schema', '_redshift');
create or replace view _redshift.show_columns as
select database_name, schema_name, table_name, column_name, ordinal_position, column_default, is_nullable,
    data_type, character_maximum_length, numeric_precision, numeric_scale, remarks from _redshift.svv_all_columns;
grant select on all tables in schema _redshift to public;

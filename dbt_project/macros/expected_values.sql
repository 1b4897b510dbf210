{#- Values, patterns and formats as the SQL of an engine. -#}

{#- A bound of a range: a number, a day or a time of ISO 8601, or SQL. -#}
{% macro bound(value) -%}
    {%- if value is none -%}
        {{ return('') }}
    {%- endif -%}
    {%- set text = value | string -%}
    {%- if modules.re.match('[0-9]{4}-[0-9]{2}-[0-9]{2}', text) -%}
        {%- set kind = 'timestamp' if text | length > 10 else 'date' -%}
        {{ return("cast('" ~ text ~ "' as " ~ kind ~ ')') }}
    {%- endif -%}
    {{ return(text) }}
{%- endmacro %}


{#- Values as SQL: text in quotes, numbers not, unless `quote_values` says it. -#}
{% macro literals(values, quote_values=none) -%}
    {%- set found = [] -%}
    {%- for value in values -%}
        {%- if value is none -%}
            {%- do found.append('null') -%}
        {%- elif quote_values is false or (quote_values is none and value is number) -%}
            {%- do found.append(value | string) -%}
        {%- else -%}
            {%- do found.append(text_literal(value)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found | join(', ')) }}
{%- endmacro %}


{% macro text_literal(value) -%}
    {{ return(adapter.dispatch('text_literal', 'headrace')(value | string)) }}
{%- endmacro %}

{% macro default__text_literal(value) -%}
    {{ return("'" ~ value.replace("'", "''") ~ "'") }}
{%- endmacro %}

{#- Spark reads a backslash in a literal as the start of an escape. -#}
{% macro spark__text_literal(value) -%}
    {{ return("'" ~ value.replace('\\', '\\\\').replace("'", "\\'") ~ "'") }}
{%- endmacro %}

{#- Redshift and Snowflake, too; a quote is doubled there. -#}
{% macro redshift__text_literal(value) -%}
    {{ return(snowflake__text_literal(value)) }}
{%- endmacro %}

{% macro snowflake__text_literal(value) -%}
    {{ return("'" ~ value.replace('\\', '\\\\').replace("'", "''") ~ "'") }}
{%- endmacro %}


{% macro matches_regex(expression, regex, flags='') -%}
    {{ return(adapter.dispatch('matches_regex', 'headrace')(expression, regex, flags)) }}
{%- endmacro %}

{% macro default__matches_regex(expression, regex, flags) -%}
    {%- set options = ", '" ~ flags ~ "'" if flags else '' -%}
    regexp_matches(cast({{ expression }} as varchar), {{ text_literal(regex) }}{{ options }})
{%- endmacro %}

{% macro postgres__matches_regex(expression, regex, flags) -%}
    cast({{ expression }} as text)
    {{- ' ~* ' if 'i' in flags else ' ~ ' }}{{ text_literal(regex) }}
{%- endmacro %}

{% macro spark__matches_regex(expression, regex, flags) -%}
    cast({{ expression }} as string) rlike {{ text_literal(
        ('(?' ~ flags ~ ')' if flags else '') ~ regex
    ) }}
{%- endmacro %}

{% macro snowflake__matches_regex(expression, regex, flags) -%}
    regexp_instr(
        cast({{ expression }} as varchar), {{ text_literal(regex) }}, 1, 1, 0, '{{ flags or 'c' }}'
    ) > 0
{%- endmacro %}


{% macro is_json(expression) -%}
    {{ return(adapter.dispatch('is_json', 'headrace')(expression)) }}
{%- endmacro %}

{% macro default__is_json(expression) -%}
    json_valid(cast({{ expression }} as varchar))
{%- endmacro %}

{% macro postgres__is_json(expression) -%}
    cast({{ expression }} as text) is json
{%- endmacro %}

{% macro redshift__is_json(expression) -%}
    can_json_parse(cast({{ expression }} as varchar(65535)))
{%- endmacro %}

{% macro spark__is_json(expression) -%}
    get_json_object(cast({{ expression }} as string), '$') is not null
{%- endmacro %}

{% macro snowflake__is_json(expression) -%}
    check_json(cast({{ expression }} as varchar)) is null
{%- endmacro %}


{% macro is_timestamp(expression) -%}
    {{ return(adapter.dispatch('is_timestamp', 'headrace')(expression)) }}
{%- endmacro %}

{% macro default__is_timestamp(expression) -%}
    try_cast({{ expression }} as timestamp) is not null
{%- endmacro %}

{% macro postgres__is_timestamp(expression) -%}
    pg_input_is_valid(cast({{ expression }} as text), 'timestamp')
{%- endmacro %}

{% macro redshift__is_timestamp(expression) -%}
    try_cast(cast({{ expression }} as varchar(65535)) as timestamp) is not null
{%- endmacro %}

{% macro snowflake__is_timestamp(expression) -%}
    try_to_timestamp(cast({{ expression }} as varchar)) is not null
{%- endmacro %}


{% macro has_time_format(expression, format) -%}
    {{ return(adapter.dispatch('has_time_format', 'headrace')(expression, format)) }}
{%- endmacro %}

{% macro duckdb__has_time_format(expression, format) -%}
    try_strptime(cast({{ expression }} as varchar), {{ text_literal(format) }}) is not null
{%- endmacro %}

{#- By a pattern: whether the day is in the calendar is not looked at. -#}
{% macro default__has_time_format(expression, format) -%}
    {%- set parts = {
        'Y': '[0-9]{4}', 'y': '[0-9]{2}', 'm': '(0[1-9]|1[0-2])',
        'd': '(0[1-9]|[12][0-9]|3[01])', 'j': '[0-3][0-9]{2}', 'H': '([01][0-9]|2[0-3])',
        'I': '(0[1-9]|1[0-2])', 'M': '[0-5][0-9]', 'S': '[0-5][0-9]', 'f': '[0-9]{1,6}',
        'p': '(AM|PM|am|pm)', 'z': '([+-][0-9]{2}:?[0-9]{2}|Z)', 'Z': '[A-Z]{3,5}',
        'b': '[A-Z][a-z]{2}', 'B': '[A-Z][a-z]{2,8}', 'a': '[A-Z][a-z]{2}',
        'A': '[A-Z][a-z]{5,8}', '%': '%',
    } -%}
    {%- set found = namespace(regex='', is_code=false) -%}
    {%- for letter in format -%}
        {%- if found.is_code -%}
            {%- if letter not in parts -%}
                {{ exceptions.raise_compiler_error('the format %' ~ letter ~ ' is not known') }}
            {%- endif -%}
            {%- set found.regex = found.regex ~ parts[letter] -%}
            {%- set found.is_code = false -%}
        {%- elif letter == '%' -%}
            {%- set found.is_code = true -%}
        {%- else -%}
            {%- set found.regex = found.regex ~ modules.re.escape(letter) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ matches_regex(expression, '^' ~ found.regex ~ '$') }}
{%- endmacro %}

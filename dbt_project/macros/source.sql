{% macro source(source_name, table_name) -%}
    {%- if not var('headrace_run', false) -%}
        {%- set known = loaded_sources() if loaded_sources is defined else {} -%}
        {%- if not known.get(source_name, known != {}) -%}
            {%- do config(tags='not_loaded') -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(builtins.source(source_name, table_name)) }}
{%- endmacro %}

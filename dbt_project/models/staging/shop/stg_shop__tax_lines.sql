with

source as (
    select * from {{ source('shop', 'tax_line') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        {{ joined_text(['order_line_id', "'-'", 'index']) }} as tax_line_id,
        order_line_id,
        title as tax_title,
        index as tax_number,
        rate as tax_rate,
        price as tax_amount,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

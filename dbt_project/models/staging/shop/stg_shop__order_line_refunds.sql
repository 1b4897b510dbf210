with

source as (
    select * from {{ source('shop', 'order_line_refund') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as order_line_refund_id,
        refund_id,
        order_line_id,
        location_id,
        restock_type,
        quantity,
        subtotal as subtotal_amount,
        total_tax as tax_amount,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

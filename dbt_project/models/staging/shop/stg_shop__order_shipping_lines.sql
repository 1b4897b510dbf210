with

source as (
    select * from {{ source('shop', 'order_shipping_line') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as order_shipping_line_id,
        order_id,
        code as delivery_code,
        title as delivery_title,
        source as price_source,
        price as shipping_amount,
        discounted_price as discounted_shipping_amount,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

with

source as (
    select * from {{ source('jaffle_shop', 'raw_orders') }}
),

completed_loads as (
    {{ completed_loads('jaffle_shop') }}
),

final as (
    select
        id as order_id,
        user_id as customer_id,
        status,
        order_date
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

with

source as (
    select * from {{ source('jaffle_shop', 'raw_payments') }}
),

completed_loads as (
    {{ completed_loads('jaffle_shop') }}
),

final as (
    select
        id as payment_id,
        order_id,
        payment_method,
        {{ cents_to_dollars('amount') }} as amount
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

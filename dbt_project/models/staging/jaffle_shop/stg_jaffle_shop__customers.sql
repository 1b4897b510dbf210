with

source as (
    select * from {{ source('jaffle_shop', 'raw_customers') }}
),

completed_loads as (
    {{ completed_loads('jaffle_shop') }}
),

final as (
    select
        id as customer_id,
        first_name,
        last_name
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

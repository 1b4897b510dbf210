with

source as (
    select * from {{ source('shop', 'order_discount_code') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        {{ joined_text(['order_id', "'-'", 'index']) }} as order_discount_code_id,
        order_id,
        code as discount_code,
        type as discount_type,
        index as code_number,
        amount as discount_amount,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

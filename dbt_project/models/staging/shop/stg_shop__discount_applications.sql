with

source as (
    select * from {{ source('shop', 'discount_application') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        {{ joined_text(['order_id', "'-'", 'index']) }} as discount_application_id,
        order_id,
        type as discount_type,
        title as discount_title,
        code as discount_code,
        value_type,
        target_type,
        target_selection,
        allocation_method,
        index as discount_number,
        value as discount_value,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

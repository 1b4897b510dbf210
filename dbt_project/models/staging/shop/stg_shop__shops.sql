with

source as (
    select * from {{ source('shop', 'shop') }}
),

completed_loads as (
    {{ completed_loads('shop') }}
),

final as (
    select
        id as shop_id,
        name as shop_name,
        email as shop_email,
        domain as domain_name,
        myshopify_domain,
        shop_owner,
        country_code,
        currency,
        iana_timezone,
        plan_name,
        created_at,
        updated_at,
        _fivetran_synced as synced_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final

with

int_events_grouped_to_sessions as (
    select * from {{ ref('int_events_grouped_to_sessions') }}
),

final as (
    select
        session_id,
        user_pseudo_id,
        user_id,
        channel,
        source_name,
        medium,
        campaign,
        landing_page,
        device_category,
        country,
        session_number,
        events,
        page_views,
        item_views,
        cart_additions,
        checkouts,
        purchases,
        cast(purchase_revenue as decimal(16, 2)) as purchase_revenue,
        cast(engagement_ms as bigint) as engagement_ms,
        is_engaged,
        is_first_visit,
        item_views + cart_additions + checkouts + purchases > 0 as has_item_view,
        cart_additions + checkouts + purchases > 0 as has_cart,
        checkouts + purchases > 0 as has_checkout,
        purchases > 0 as has_purchase,
        cast(started_at as date) as session_date,
        started_at,
        ended_at
    from int_events_grouped_to_sessions
)

select * from final

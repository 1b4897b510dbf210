with

fct_sessions as (
    select * from {{ ref('fct_sessions') }}
),

final as (
    select
        {{ as_text('session_date') }} || ' ' || channel as funnel_id,
        channel,
        count(*) as sessions,
        count(*) filter (where has_item_view) as sessions_with_item_view,
        count(*) filter (where has_cart) as sessions_with_cart,
        count(*) filter (where has_checkout) as sessions_with_checkout,
        count(*) filter (where has_purchase) as sessions_with_purchase,
        cast(sum(purchase_revenue) as decimal(16, 2)) as purchase_revenue,
        session_date
    from fct_sessions
    group by session_date, channel
)

select * from final

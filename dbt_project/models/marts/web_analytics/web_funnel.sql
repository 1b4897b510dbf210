with

fct_sessions as (
    select * from {{ ref('fct_sessions') }}
),

final as (
    select
        {{ as_text('session_date') }} || ' ' || channel as funnel_id,
        channel,
        count(*) as sessions,
        count(case when has_item_view then 1 end) as sessions_with_item_view,
        count(case when has_cart then 1 end) as sessions_with_cart,
        count(case when has_checkout then 1 end) as sessions_with_checkout,
        count(case when has_purchase then 1 end) as sessions_with_purchase,
        cast(sum(purchase_revenue) as decimal(16, 2)) as purchase_revenue,
        session_date
    from fct_sessions
    group by session_date, channel
)

select * from final

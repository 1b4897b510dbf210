with

stg_web_analytics__events as (
    select * from {{ ref('stg_web_analytics__events') }}
),

sessions as (
    select
        session_id,
        user_pseudo_id,
        max(user_id) as user_id,
        {{ min_by('page_location', 'event_number') }} as landing_page,
        {{ min_by('source_name', 'event_number') }} as source_name,
        {{ min_by('medium', 'event_number') }} as medium,
        {{ min_by('campaign', 'event_number') }} as campaign,
        {{ min_by('device_category', 'event_number') }} as device_category,
        {{ min_by('country', 'event_number') }} as country,
        min(session_number) as session_number,
        count(*) as events,
        count(case when event_name = 'page_view' then 1 end) as page_views,
        count(case when event_name = 'view_item' then 1 end) as item_views,
        count(case when event_name = 'add_to_cart' then 1 end) as cart_additions,
        count(case when event_name = 'begin_checkout' then 1 end) as checkouts,
        count(case when event_name = 'purchase' then 1 end) as purchases,
        coalesce(sum(purchase_revenue), 0) as purchase_revenue,
        sum(engagement_ms) as engagement_ms,
        {{ any_true('is_engaged') }} as is_engaged,
        {{ any_true("event_name = 'first_visit'") }} as is_first_visit,
        min(event_at) as started_at,
        max(event_at) as ended_at
    from stg_web_analytics__events
    group by session_id, user_pseudo_id
),

final as (
    select
        *,
        case
            when source_name = '(direct)' and medium = '(none)' then 'Direct'
            when medium = 'organic' then 'Organic Search'
            when medium = 'cpc' and campaign like '%shopping%' then 'Paid Shopping'
            when medium = 'cpc' then 'Paid Search'
            when medium = 'paid_social' then 'Paid Social'
            when medium = 'social' then 'Organic Social'
            when medium = 'email' then 'Email'
            when medium = 'affiliate' then 'Affiliates'
            when medium = 'referral' then 'Referral'
            else 'Unassigned'
        end as channel
    from sessions
)

select * from final

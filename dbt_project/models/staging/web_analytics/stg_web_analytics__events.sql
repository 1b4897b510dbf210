with

source as (
    select * from {{ source('web_analytics', 'events') }}
),

completed_loads as (
    {{ completed_loads('web_analytics') }}
),

parsed as (
    select
        *,
        {{ parameter_keys('event_params') }} as param_keys,
        {{ parameters('event_params') }} as params
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
),

named as (
    select
        *,
        {{ parameter('ga_session_id', 'int_value', 'param_keys', 'params') }}
            as ga_session_id,
        {{ parameter('ga_session_number', 'int_value', 'param_keys', 'params') }}
            as ga_session_number,
        {{ parameter('engagement_time_msec', 'int_value', 'param_keys', 'params') }}
            as engagement_time_msec,
        {{ parameter('page_location', 'string_value', 'param_keys', 'params') }}
            as page_location,
        {{ parameter('page_title', 'string_value', 'param_keys', 'params') }}
            as page_title,
        {{ parameter('page_referrer', 'string_value', 'param_keys', 'params') }}
            as page_referrer,
        {{ parameter('session_engaged', 'string_value', 'param_keys', 'params') }}
            as session_engaged
    from parsed
),

final as (
    select
        user_pseudo_id
        || '.' || {{ as_text('event_timestamp') }}
        || '.' || {{ as_text('batch_ordering_id') }}
        || '.' || event_name as event_id,
        user_pseudo_id || '.' || {{ as_text('ga_session_id') }} as session_id,
        user_pseudo_id,
        user_id,
        {{ json_text('ecommerce', 'transaction_id') }} as transaction_id,
        event_name,
        page_location,
        page_title,
        page_referrer,
        {{ json_text(
            'session_traffic_source_last_click', 'manual_campaign.source'
        ) }} as source_name,
        {{ json_text(
            'session_traffic_source_last_click', 'manual_campaign.medium'
        ) }} as medium,
        {{ json_text(
            'session_traffic_source_last_click', 'manual_campaign.campaign_name'
        ) }} as campaign,
        {{ json_text('device', 'category') }} as device_category,
        {{ json_text('device', 'operating_system') }} as operating_system,
        {{ json_text('device', 'web_info.browser') }} as browser,
        {{ json_text('geo', 'continent') }} as continent,
        {{ json_text('geo', 'country') }} as country,
        {{ json_text('geo', 'city') }} as city,
        cast(batch_ordering_id as integer) as event_number,
        cast(ga_session_number as integer) as session_number,
        coalesce(engagement_time_msec, 0) as engagement_ms,
        cast(
            {{ json_text('ecommerce', 'purchase_revenue') }} as decimal(16, 2)
        ) as purchase_revenue,
        coalesce(session_engaged = '1', false) as is_engaged,
        cast({{ from_microseconds('event_timestamp') }} as date) as event_date,
        {{ from_microseconds('event_timestamp') }} as event_at,
        {{ from_microseconds('user_first_touch_timestamp') }} as user_first_touch_at
    from named
)

select * from final

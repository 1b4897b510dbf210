{%- set up_to_the_day -%}
partition by level_days.inventory_level_id
            order by level_days.calendar_date
            rows between unbounded preceding and current row
{%- endset -%}

with

stg_shop__inventory_levels as (
    select * from {{ ref('stg_shop__inventory_levels') }}
),

int_shop_inventory_movements_unioned as (
    select * from {{ ref('int_shop_inventory_movements_unioned') }}
),

movements_by_day as (
    select
        inventory_level_id,
        movement_date,
        sum(case when movement = 'sold' then quantity else 0 end) as sold,
        sum(case when movement = 'released' then quantity else 0 end) as released,
        sum(case when movement = 'restocked' then quantity else 0 end) as restocked
    from int_shop_inventory_movements_unioned
    group by inventory_level_id, movement_date
),

bounds as (
    select
        min(movement_date) as first_date,
        max(movement_date) as last_date
    from movements_by_day
),

calendar as (
    select
        {{ each_day('bounds.first_date', 'bounds.last_date') }} as calendar_date
    from bounds
    {{ numbered_days('bounds.first_date', 'bounds.last_date') }}
),

level_days as (
    select
        levels.inventory_level_id,
        levels.inventory_item_id,
        levels.location_id,
        levels.opening_quantity,
        levels.reorder_quantity,
        calendar.calendar_date
    from stg_shop__inventory_levels as levels
    inner join calendar
        on {{ utc_date('levels.created_at') }} <= calendar.calendar_date
),

running as (
    select
        level_days.*,
        coalesce(movements.sold, 0) as sold,
        sum(coalesce(movements.sold, 0)) over ({{ up_to_the_day }}) as sold_to_date,
        sum(coalesce(movements.released, 0)) over ({{ up_to_the_day }})
            as released_to_date,
        sum(coalesce(movements.restocked, 0)) over ({{ up_to_the_day }})
            as restocked_to_date
    from level_days
    left outer join movements_by_day as movements
        on
            level_days.inventory_level_id = movements.inventory_level_id
            and level_days.calendar_date = movements.movement_date
),

received as (
    -- whenever reorder_quantity units have been sold, as many are received
    select
        *,
        sold_to_date - mod(sold_to_date, reorder_quantity) as received_to_date
    from running
),

final as (
    select
        {{ joined_text(['inventory_level_id', "'-'", 'calendar_date']) }}
            as inventory_by_day_id,
        inventory_level_id,
        inventory_item_id,
        location_id,
        opening_quantity,
        cast(sold as bigint) as sold_quantity,
        cast(sold_to_date as bigint) as sold_to_date_quantity,
        cast(received_to_date as bigint) as received_to_date_quantity,
        cast(released_to_date as bigint) as released_to_date_quantity,
        cast(restocked_to_date as bigint) as restocked_to_date_quantity,
        cast(
            opening_quantity + received_to_date - sold_to_date
            + released_to_date + restocked_to_date as bigint
        ) as available_quantity,
        calendar_date as inventory_date
    from received
)

select * from final

-- The last day's stock, computed from the orders, is what the shop says there is now.
with

inventory as (
    select * from {{ ref('fct_inventory_by_day') }}
),

levels as (
    select * from {{ ref('stg_shop__inventory_levels') }}
),

last_day as (
    select max(inventory_date) as last_date
    from inventory
),

final as (
    select
        levels.inventory_level_id,
        levels.available_quantity,
        inventory.available_quantity as computed_quantity
    from levels
    inner join inventory
        on levels.inventory_level_id = inventory.inventory_level_id
    inner join last_day
        on inventory.inventory_date = last_day.last_date
    where levels.available_quantity <> inventory.available_quantity
)

select * from final

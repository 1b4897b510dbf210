MODEL (name marts.customers, kind FULL, audits (not_null(columns := (customer_id)), unique_values(columns := (customer_id))));

WITH orders_by_customer AS (
    SELECT
        customer_id,
        count(*) AS number_of_orders,
        cast(sum(amount) AS decimal(16, 2)) AS customer_lifetime_value,
        min(order_date) AS first_order_date,
        max(order_date) AS most_recent_order_date
    FROM marts.orders
    GROUP BY customer_id
)
SELECT
    customers.customer_id,
    customers.first_name,
    customers.last_name,
    coalesce(history.number_of_orders, 0) AS number_of_orders,
    coalesce(history.customer_lifetime_value, 0) AS customer_lifetime_value,
    history.first_order_date,
    history.most_recent_order_date
FROM staging.customers AS customers
LEFT JOIN orders_by_customer AS history ON customers.customer_id = history.customer_id

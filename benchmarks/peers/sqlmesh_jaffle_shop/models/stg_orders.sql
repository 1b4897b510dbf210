MODEL (name staging.orders, kind VIEW, audits (not_null(columns := (order_id)), unique_values(columns := (order_id))));

SELECT id AS order_id, user_id AS customer_id, status, order_date FROM raw.orders

MODEL (name staging.customers, kind VIEW, audits (not_null(columns := (customer_id)), unique_values(columns := (customer_id))));

SELECT id AS customer_id, first_name, last_name FROM raw.customers

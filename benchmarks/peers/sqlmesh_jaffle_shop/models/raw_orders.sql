MODEL (name raw.orders, kind FULL);

SELECT * FROM read_csv(@files || '/raw_orders.csv')

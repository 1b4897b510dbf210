MODEL (name raw.customers, kind FULL);

SELECT * FROM read_csv(@files || '/raw_customers.csv')

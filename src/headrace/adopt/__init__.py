"""``headrace adopt``: adds Headrace to a repository that has dbt, dlt or SQL of its own.

::

    Python files ─► dlt_scripts ─┐
    dbt_project.yml ─► dbt_side ─┼─► service: settings, wrappers, a diff, a report
    .sql files ─► sql_folder ────┘
"""

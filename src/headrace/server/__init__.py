"""The web server and the static site: REST API and pages over the run store and published file.

::

    run store, log ─► store, logs ─┐                                ┌─► api ────────────┐
                                   ├─► state, snapshot ─► queries ──┤                   ├─► app
    published file ─► published ───┘   (catalog, search)  (views)   └─► pages ─► page_routes
                                                                          └─► static_site
    runner ─► protocol (limits of a connection) ─► security (host, token, headers) ─► app
"""

"""Our own API, `/api/v1`: typed functions from which both the routes and the OpenAPI document are made."""

"""HTTP for all ports: uvicorn serves, Starlette provides the framework, and ``limits`` sets each port's limits."""

"""HTTP for all ports: uvicorn serves, and Starlette provides the framework."""

"""HTTP, once for all ports: uvicorn serves, Starlette frames, ``limits`` says what each port grants."""

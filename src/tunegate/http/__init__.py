"""The door: Litestar lives here and nowhere else. One file of routes per noun, problem details for all that goes wrong."""

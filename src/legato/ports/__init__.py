"""The small contracts between Legato's decisions and the world. Adapters are dumb: decisions never live in them."""

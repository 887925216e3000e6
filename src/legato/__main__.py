"""`python -m legato` is `legato`."""

from legato.surfaces.cli.main import main

if __name__ == "__main__":
    main()

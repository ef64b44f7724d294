"""`python -m jrv3_eval`."""

from .cli.main import main

if __name__ == "__main__":
    main()

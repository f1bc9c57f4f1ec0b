"""`python -m sidmint` is the `sidmint` command."""

from sidmint.cli import main

if __name__ == "__main__":
    main()

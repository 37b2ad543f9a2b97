"""Try the bucket of the settings, of a real account or of the local stack: `make test-s3`."""

from fin_lake.operations.s3_check import main

if __name__ == "__main__":
    main()

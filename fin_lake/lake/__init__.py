"""The lake in S3: where objects lie, how they are encoded, and how they are put and got."""

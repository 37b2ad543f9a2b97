"""`from scripts.s3_data_uploader import create_s3_uploader_from_env`: the uploader, by its first name."""

from fin_lake.lake.uploader import S3Uploader, create_s3_uploader_from_env

__all__ = ["S3Uploader", "create_s3_uploader_from_env"]

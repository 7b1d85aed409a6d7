"""Files on disk and in S3, the same way. Only here is S3 known."""

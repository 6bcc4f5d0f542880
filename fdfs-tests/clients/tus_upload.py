"""Uploads a file with tuspy: tus_upload.py ENDPOINT FILE. Stops half-way and goes on with the URL alone; prints the file's id."""

import sys

import requests
from tusclient.client import TusClient

endpoint, path = sys.argv[1:]
client = TusClient(endpoint)
first = client.uploader(path, chunk_size=300_000, metadata={"filename": "a.bin"})
first.upload_chunk()
first.upload_chunk()
second = client.uploader(path, chunk_size=5_000_000, url=first.url, retries=3, retry_delay=1)
assert second.get_offset() == 600_000, second.offset
second.upload()
print(requests.head(first.url, headers=client.headers | {"Tus-Resumable": "1.0.0"}).headers["Fastdfs-Id"])

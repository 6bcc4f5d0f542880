"""On the client host: uploads files through py3Fdfs from PyPI. argv: TRACKER_IP FILE...; prints an id per file."""
import sys

from fdfs_client.client import Fdfs_client

tracker, files = sys.argv[1], sys.argv[2:]
client = Fdfs_client({"host_tuple": (tracker,), "port": 22122, "timeout": 30, "name": "trackers"})
for name in files:
    found = client.upload_by_filename(name)["Remote file_id"]
    print(found.decode() if isinstance(found, bytes) else found)

"""Drives the FastDFS clients from PyPI: one JSON request a line in, one JSON answer a line out.

argv: py3fdfs|fastdfs-client TRACKER_IP PORT. Requests: {"op": "upload", "path": ..., "ext": "jpg"|null},
{"op": "upload_file", "path": ...}, {"op": "download", "id": ..., "path": ...}, {"op": "delete", "id": ...}.
"""
import json
import sys

kind, tracker, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
trackers = {"host_tuple": (tracker,), "port": port, "timeout": 30, "name": "trackers"}
if kind == "py3fdfs":
    from fdfs_client.client import Fdfs_client

    client = Fdfs_client(trackers)
else:
    from fastdfs_client import FastdfsClient

    client = FastdfsClient(trackers)


def file_id(text):
    # One of them takes bytes, the other text.
    return text.encode() if kind == "py3fdfs" else text


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def answer(request):
    op = request["op"]
    if op == "upload":
        with open(request["path"], "rb") as file:
            content = file.read()
        return text(client.upload_by_buffer(content, request.get("ext"))["Remote file_id"])
    if op == "upload_file":
        return text(client.upload_by_filename(request["path"])["Remote file_id"])
    if op == "download":
        client.download_to_file(request["path"], file_id(request["id"]))
        return request["path"]
    if op == "delete":
        client.delete_file(file_id(request["id"]))
        return request["id"]
    raise ValueError(op)


for line in sys.stdin:
    try:
        print(json.dumps({"ok": answer(json.loads(line))}), flush=True)
    except Exception as error:  # noqa: BLE001: the test judges it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)

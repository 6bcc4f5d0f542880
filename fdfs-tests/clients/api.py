"""Every method of a FastDFS client from PyPI, with what must come of it: a line each, `ok` or what went wrong.

The *_by_file methods are left out: one client never ends them, the other says that they are not ready.

argv: py3fdfs|fastdfs-client TRACKER_IP PORT FOLDER
"""
import asyncio
import pathlib
import sys

kind, tracker, port, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), pathlib.Path(sys.argv[4])
trackers = {"host_tuple": (tracker,), "port": port, "timeout": 30, "name": "trackers"}
if kind == "py3fdfs":
    from fdfs_client.client import Fdfs_client

    new_client = lambda: Fdfs_client(trackers)  # noqa: E731
else:
    from fastdfs_client import FastdfsClient

    new_client = lambda: FastdfsClient(trackers, ip_mapping={}, ssl=False)  # noqa: E731

# What these versions cannot do with any server: errors of their own, before a whole request is sent or in what they make of an answer.
BROKEN = {
    "py3fdfs": {
        "upload with metadata": "char format requires a bytes object of length 1",
        "set and get metadata": "char format requires a bytes object of length 1",
        "slaves": "argument for 's' must be a bytes object",
        "modify": "cannot access local variable 'download_bytes'",
        "download a part": "cannot access local variable 'file_offset'",
        # It knows the records of another version.
        "lists": "unpack requires a buffer of 105 bytes",
    },
    "fastdfs-client": {
        "upload with metadata": "char format requires a bytes object of length 1",
        "set and get metadata": "char format requires a bytes object of length 1",
        "slaves": "argument for 's' must be a bytes object",
        "appenders": "argument for 's' must be a bytes object",
        "truncate": "argument for 's' must be a bytes object",
        "modify": "argument for 's' must be a bytes object",
        "lists": "argument for 's' must be a bytes object",
    },
}[kind]
failed = 0
client = None


def check(name, did):
    """With a client of its own: one that fails half-way leaves half a request on its connection."""
    global failed, client
    client = new_client()
    broken = BROKEN.get(name)
    try:
        did()
        outcome = "ok" if broken is None else "works, though known to be broken"
    except Exception as error:  # noqa: BLE001: the test judges it
        outcome = f"{type(error).__name__}: {error}"
        if broken is not None and broken in str(error):
            outcome = "ok (this client cannot)"
    failed += not outcome.startswith("ok")
    print(f"{name}: {outcome}", flush=True)


def own(file_id):
    """In the type that this client takes."""
    text = file_id.decode() if isinstance(file_id, bytes) else file_id
    return text.encode() if kind == "py3fdfs" else text


def made(answer):
    return own(answer["Remote file_id"] if "Remote file_id" in answer else answer["Remote file id"])


def content(file_id, offset=0, count=0):
    return client.download_to_buffer(file_id, offset, count)["Content"]


def same(got, want):
    assert got == want, f"{got!r:.200} instead of {want!r:.200}"


def file_of(name, data):
    path = folder / name
    path.write_bytes(data)
    return str(path)


data = bytes(range(256)) * 300
small = file_of("small.jpg", b"small content")
large = file_of("large.bin", data)


def uploads():
    same(content(made(client.upload_by_filename(large))), data)
    same(content(made(client.upload_by_buffer(data, "png"))), data)


def upload_with_metadata():
    file_id = made(client.upload_by_buffer(b"with metadata", "txt", {"width": "160", "height": "80"}))
    same(metadata(file_id), {"width": "160", "height": "80"})


def metadata(file_id):
    text = lambda value: value.decode() if isinstance(value, bytes) else value  # noqa: E731
    return {text(key): text(value) for key, value in client.get_meta_data(file_id).items()}


def set_metadata():
    file_id = made(client.upload_by_buffer(b"x", "txt"))
    client.set_meta_data(file_id, {"a": "1", "b": "2"})
    same(metadata(file_id), {"a": "1", "b": "2"})
    client.set_meta_data(file_id, {"c": "3"})
    same(metadata(file_id), {"c": "3"})


def slaves():
    master = made(client.upload_by_buffer(b"master", "jpg"))
    same(content(made(client.upload_slave_by_filename(small, master, "_one"))), b"small content")


def appenders():
    same(content(made(client.upload_appender_by_filename(small))), b"small content")
    file_id = made(client.upload_appender_by_buffer(b"begin", "log"))
    client.append_by_buffer(b" more", file_id)
    client.append_by_filename(small, file_id)
    client.append_by_filename(small, file_id)
    same(content(file_id), b"begin more" + b"small content" * 2)


def truncate():
    file_id = made(client.upload_appender_by_buffer(b"0123456789", "log"))
    client.truncate_file(4, file_id)
    same(content(file_id), b"0123")


def modify():
    file_id = made(client.upload_appender_by_buffer(b"0123456789" * 4, "log"))
    client.modify_by_buffer(b"abc", file_id, 2)
    same(content(file_id, 0, 10), b"01abc56789")
    client.modify_by_filename(small, file_id, 10)
    client.modify_by_filename(small, file_id, 25)
    whole = b"01abc56789" + b"small content" + b"34" + b"small content" + b"89"
    same(content(file_id), whole)


def download():
    file_id = made(client.upload_by_buffer(data, "bin"))
    path = folder / "back"
    client.download_to_file(str(path), file_id)
    same(path.read_bytes(), data)
    same(content(file_id), data)


def download_part():
    file_id = made(client.upload_by_buffer(data, "bin"))
    same(content(file_id, 100, 50), data[100:150])
    same(content(file_id, 1000), data[1000:])
    path = folder / "back"
    client.download_to_file(str(path), file_id, 10, 20)
    same(path.read_bytes(), data[10:30])


def delete():
    file_id = made(client.upload_by_buffer(b"short life", "txt"))
    client.delete_file(file_id)
    try:
        content(file_id)
    except Exception:  # noqa: BLE001: it is gone
        return
    raise AssertionError("a deleted file was downloaded")


def lists():
    name = b"group1" if kind == "py3fdfs" else "group1"
    group = client.list_one_group(name)
    same(group.count, 2)
    same(group.active_count, 2)
    same(client.list_all_groups()["Groups count"], 1)
    servers = client.list_servers(name)["Servers"]
    same(len(servers), 2)
    for server in servers:
        # Both ways in which the clients spell a status.
        assert "ACTIVE" in str(server.status), server.status


def asynchronous():
    async def run():
        one = client.async_client
        url = await one.upload(data, ".jpg")
        file_id = "group" + url.split("/group", 1)[1]
        same(content(file_id), data)
        await one.delete(file_id)
        url = await client.upload(b"by the client itself", "txt")
        await client.delete("group" + url.split("/group", 1)[1])

    asyncio.run(run())
    url = client.upload_as_url(data, "jpg")
    same(content("group" + url.split("/group", 1)[1]), data)


for name, did in [
    ("upload", uploads),
    ("upload with metadata", upload_with_metadata),
    ("set and get metadata", set_metadata),
    ("slaves", slaves),
    ("appenders", appenders),
    ("truncate", truncate),
    ("modify", modify),
    ("download", download),
    ("download a part", download_part),
    ("delete", delete),
    ("lists", lists),
] + ([("asynchronous", asynchronous)] if kind == "fastdfs-client" else []):
    check(name, did)
sys.exit(1 if failed else 0)

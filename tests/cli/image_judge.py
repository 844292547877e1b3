"""image_judge.py LAYOUT TAG ROOT: is this layout (a folder or a tar) an image as the specification wants it? Every digest
and size is computed, the platforms are looked at, the layer of this machine is unpacked into ROOT. Says what is wrong."""
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

layout, tag, root = sys.argv[1:]
if os.path.isdir(layout):
    def read(name):
        with open(os.path.join(layout, name), "rb") as f:
            return f.read()
else:
    archive = tarfile.open(layout)
    assert all((m.uid, m.gid, m.mtime) == (0, 0, 0) for m in archive), "owners and times of the archive"

    def read(name):
        return archive.extractfile(name).read()


def blob(d):
    data = read("blobs/" + d["digest"].replace(":", "/"))
    assert "sha256:" + hashlib.sha256(data).hexdigest() == d["digest"] and len(data) == d["size"], d
    return data


assert json.loads(read("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
rows = [m for m in json.loads(read("index.json"))["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == tag]
assert len(rows) == 1, "the tag stands there once"
index = json.loads(blob(rows[0]))
assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
mine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
seen = []
for m in index["manifests"]:
    manifest = json.loads(blob(m))
    config, layers = json.loads(blob(manifest["config"])), manifest["layers"]
    assert m["platform"]["os"] == config["os"] == "linux" and m["platform"]["architecture"] == config["architecture"]
    seen.append(config["architecture"])
    assert len(layers) == 1 and layers[0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layers[0]["digest"]]}, "an uncompressed layer is its diff_id"
    assert config["config"]["User"] == "65532:65532" and config["config"]["Entrypoint"] == ["/mlxk"]
    labels = config["config"]["Labels"]
    assert labels == manifest["annotations"] == index["annotations"] and list(labels) == sorted(labels)
    for key in ("created", "description", "licenses", "revision", "title", "version"):
        assert labels["org.opencontainers.image." + key], key
    assert config["created"] == labels["org.opencontainers.image.created"]
    tar = tarfile.open(fileobj=io.BytesIO(blob(layers[0])))
    names = tar.getnames()
    assert names == sorted(names) and names == ["etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt", "mlxk", "models", "tmp"], names
    assert len({t.mtime for t in tar}) == 1 and all((t.uid, t.gid, t.uname, t.gname) == (0, 0, "", "") for t in tar)
    assert tar.getmember("models").mode == tar.getmember("tmp").mode == 0o1777 and tar.getmember("mlxk").mode == 0o755
    assert tar.extractfile("etc/ssl/certs/ca-certificates.crt").read().count(b"BEGIN CERTIFICATE") > 100
    if config["architecture"] == mine and root != "-":
        tar.extractall(root)
assert len(set(seen)) == len(seen)
print(rows[0]["digest"], " ".join(seen))

#!/bin/sh
# 82-mirror-slow.sh: what the mirror's long limits end: a body that drips, a reader that sips, a connection that is kept
# and says nothing; and what they leave alone: a reader that is slow but reads. They run beside each other, two minutes.
# shellcheck disable=SC2119
set -u
. tests/fake/mirror.sh
hub_start
succeeds "a model in the cache" pull o/model
succeeds "a large one" pull o/huge
mirror_start
cat > "$T/slow.py" <<'P'
import socket, sys, threading, time
port, log = int(sys.argv[1]), sys.argv[2]
GET = b"GET /o/huge/resolve/main/model.safetensors HTTP/1.1\r\nHost: localhost\r\n\r\n"
def connect(window=None):
    s = socket.socket()
    if window: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    s.settimeout(200)
    s.connect(("127.0.0.1", port))
    return s
out, t0 = {}, time.time()
def body(name):
    s = connect()
    s.sendall(b"POST /api/models/o/model/paths-info/main HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\npaths=")
    s.settimeout(1)
    while True:
        try:
            answer = s.recv(1000)
            break
        except TimeoutError:
            try: s.sendall(b"a")
            except OSError: answer = b"closed"; break
        except OSError: answer = b"reset"; break
    out[name] = (time.time() - t0, answer[:12])
def cut():      # the kernel's buffers hide it from the reader
    return any("/o/huge/" in line and line.endswith(" cut\n") for line in open(log))
def reader(name, piece, pause, most, until=lambda: False):
    s = connect(4096)
    s.sendall(GET)
    got, ended = 0, False
    try:
        while got < 24000000 and time.time() - t0 < most and not until():
            more = s.recv(piece)
            if not more:
                ended = True
                break
            got += len(more)
            time.sleep(pause)
    except OSError: ended = True
    out[name] = (time.time() - t0, got, ended)
def kept(name):
    s = connect()
    s.sendall(b"HEAD /o/model/resolve/main/config.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    s.recv(4096)
    try: more = s.recv(100)
    except OSError: more = b"?"
    out[name] = (time.time() - t0, more)
ts = [threading.Thread(target=body, args=("a body that drips",)), threading.Thread(target=reader, args=("a reader that sips", 50, 0.5, 300, cut)),
      threading.Thread(target=kept, args=("a kept connection",)), threading.Thread(target=reader, args=("a slow reader", 40000, 0.5, 300, cut))]
[t.start() for t in ts]; [t.join() for t in ts]
def ok(good, name, more):
    print(("ok " if good else "not ok ") + name + " " + repr(more))
took, answer = out["a body that drips"]
ok(50 < took < 200 and b" 200" not in answer, "a body that drips is refused", out["a body that drips"])
took, got, _ = out["a reader that sips"]
ok(50 < took < 200 and got < 24000000, "a reader that sips is cut", out["a reader that sips"])
took, more = out["a kept connection"]
ok(60 < took < 200 and more == b"", "a kept connection that says nothing is ended", out["a kept connection"])
took, got, ended = out["a slow reader"]
ok(got == 24000000 or not ended, "a slow reader that reads is left alone", out["a slow reader"])
P
python3 "$T/slow.py" "${mirror##*:}" "$T/mirror.err"
answers "counted" 200 /metrics
body_has "what was cut" '^mlxk_mirror_cut_total [1-9]|^mlxk_http_[a-z_]*cut[a-z_]* [1-9]'
check "the mirror is still there" kill -0 "$mirror_pid"
mirror_stop; check "told to stop, it ends with 0" test "$mirror_status" = 0

#!/bin/sh
# 38-tls-records.sh: records of TLS 1.3 and 1.2, and what is no plain run of data: padded ones, tickets, a key update and a
# wish for another handshake between them, one that was damaged on its way. The other side is OpenSSL's s_server; what it answers, tls_records.py types in.
set -u
command -v openssl > /dev/null || { echo "ok records of TLS # SKIP openssl is not installed"; exit 0; }
MLXK="$MLXK" T="$T" python3 tests/cli/tls_records.py

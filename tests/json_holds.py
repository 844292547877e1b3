#!/usr/bin/env python3
"""json_holds.py FILE EXPRESSION: FILE is exactly one JSON document d that fits its schema, and the expression holds; x is its data, e its error."""
import json, sys

import schema

d = json.load(open(sys.argv[1], encoding="utf-8"))
assert sorted(d) == ["command", "data", "error", "status"], sorted(d)
assert not schema.check(d), schema.check(d)
x = d["data"]; e = d["error"]
assert (d["status"] == "success") == (e is None), d["status"]
assert eval(sys.argv[2]), d

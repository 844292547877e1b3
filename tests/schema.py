#!/usr/bin/env python3
"""schema.py FILE...: JSON documents against docs/schema, by their "command". As a module: check(document).

The words of draft-07 that those schemas use; tests/long/25-schema.sh compares with a complete validator."""
import json, os, re, sys

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../docs/schema")
KINDS = {"object": dict, "array": list, "string": str, "null": type(None), "boolean": bool}
KNOWN = {"$schema", "$ref", "title", "definitions", "type", "enum", "const", "required", "properties", "additionalProperties", "items",
         "pattern", "minimum", "minLength", "anyOf", "if", "then", "else"}
files = {}


def load(name):
    if name not in files:
        with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
            files[name] = json.load(f)
    return files[name]


def is_kind(value, kind):
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, KINDS[kind])


def errors(value, schema, name, where="$"):
    unknown = set(schema) - KNOWN
    assert not unknown, "schema.py does not know %s" % unknown
    if "$ref" in schema:
        target, _, path = schema["$ref"].partition("#")
        there = load(target or name)
        for part in path.strip("/").split("/"):
            there = there[part]
        return errors(value, there, target or name, where)
    out = []
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(is_kind(value, k) for k in kinds):
        return ["%s is %s, not %s" % (where, json.dumps(value)[:60], "/".join(kinds))]
    if "enum" in schema and not any(type(v) is type(value) and v == value for v in schema["enum"]):
        out.append("%s is %s, not one of %s" % (where, json.dumps(value)[:60], schema["enum"]))
    if "const" in schema and value != schema["const"]:
        out.append("%s is %s, not %s" % (where, json.dumps(value)[:60], schema["const"]))
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            out.append("%s is %r, which does not fit %s" % (where, value[:60], schema["pattern"]))
        if len(value) < schema.get("minLength", 0):
            out.append("%s is empty" % where)
    if is_kind(value, "number") and "minimum" in schema and value < schema["minimum"]:
        out.append("%s is %s" % (where, value))
    if isinstance(value, dict):
        out += ["%s has no %s" % (where, k) for k in schema.get("required", []) if k not in value]
        for k, v in value.items():
            if k in schema.get("properties", {}):
                out += errors(v, schema["properties"][k], name, where + "." + k)
            elif schema.get("additionalProperties") is False:
                out.append("%s has %s, which no schema names" % (where, k))
    if isinstance(value, list) and "items" in schema:
        for i, v in enumerate(value):
            out += errors(v, schema["items"], name, "%s[%d]" % (where, i))
    if "anyOf" in schema:
        tried = [errors(value, s, name, where) for s in schema["anyOf"]]
        if all(tried):
            out += min(tried, key=len)
    if "if" in schema:
        branch = "else" if errors(value, schema["if"], name, where) else "then"
        out += errors(value, schema.get(branch, {}), name, where)
    return out


def check(document):
    command = document.get("command") if isinstance(document, dict) else None
    name = (command if isinstance(command, str) else "version") + ".json"   # null: a failure before any command
    if not os.path.exists(os.path.join(FOLDER, name)):
        return ["no schema for the command %s" % command]
    return errors(document, load(name), name)


if __name__ == "__main__":
    bad = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            wrong = check(json.load(f))
        bad += bool(wrong)
        print("\n".join("%s: %s" % (path, w) for w in wrong[:5]) or "%s: ok" % path)
    sys.exit(bad > 0)

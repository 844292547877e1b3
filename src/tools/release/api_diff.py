#!/usr/bin/env python3
"""api_diff.py OLD NEW: what changed between two folders of JSON schemas of documents that we write.

One line a change, `breaking|feature FILE WHERE: what`, for someone who reads those documents: what was promised
and is gone, or may now be something else, is breaking; what is new is a feature; wording is nothing. What this
program does not know it calls breaking. Exit status: 0 nothing, 10 features only, 20 breaking."""
import json, os, sys

WORDS = {"title", "description", "$schema", "$id", "examples", "$comment", "definitions"}


def read(folder):
    out = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name.endswith(".json"):
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                out[name] = json.load(f)
    return out


def resolve(files, name, schema, depth=0):
    """Schema with every $ref replaced by what it names; a circle ends as its name."""
    if isinstance(schema, list):
        return [resolve(files, name, s, depth) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target, _, path = schema["$ref"].partition("#")
        if depth > 20:
            return {"$ref": schema["$ref"]}
        there = files.get(target or name)
        for part in path.strip("/").split("/"):
            there = there.get(part) if isinstance(there, dict) else None
        if there is None:
            return {"dangling": schema["$ref"]}
        return resolve(files, target or name, there, depth + 1)
    return {k: resolve(files, name, v, depth) for k, v in schema.items() if k not in WORDS or isinstance(v, dict) and k != "definitions"}


def kinds(schema):
    k = schema.get("type")
    return set([k] if isinstance(k, str) else k or ["object", "array", "string", "number", "integer", "boolean", "null"])


def compare(old, new, where, say):
    if old == new:
        return
    if not isinstance(old, dict) or not isinstance(new, dict):
        return say("breaking", where, "is another schema")
    more, less = kinds(new) - kinds(old), kinds(old) - kinds(new)
    if "number" in kinds(old):
        more -= {"integer"}
    if more:
        say("breaking", where, "may now be %s" % ", ".join(sorted(more)))
    elif less:
        say("feature", where, "is never %s any more" % ", ".join(sorted(less)))
    allowed_old, allowed_new = old.get("enum"), new.get("enum")
    if allowed_old != allowed_new:
        if allowed_old is None:
            say("feature", where, "is now one of a list")
        elif allowed_new is None:
            say("breaking", where, "may now be anything")
        else:
            for v in allowed_old:
                if v not in allowed_new:
                    say("breaking", where, "is never %s any more" % json.dumps(v))
            for v in allowed_new:
                if v not in allowed_old:
                    say("feature", where, "may be %s" % json.dumps(v))
    before, after = old.get("properties", {}), new.get("properties", {})
    for key in before:
        if key not in after:
            say("breaking", where + "." + key, "is gone")
        else:
            compare(before[key], after[key], where + "." + key, say)
    for key in after:
        if key not in before:
            say("feature", where + "." + key, "is new")
    for key in old.get("required", []):
        if key not in new.get("required", []) and key in after:
            say("breaking", where + "." + key, "may now be absent")
    for key in new.get("required", []):
        if key not in old.get("required", []) and key in before:
            say("feature", where + "." + key, "is always there")
    for key in ("items", "then", "else", "additionalProperties"):
        a, b = old.get(key), new.get(key)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            compare(a, b, where + ("[]" if key == "items" else "" if key in ("then", "else") else ".*"), say)
        elif key == "additionalProperties":
            say("feature", where, "is %s to other members" % ("closed" if b is False else "open"))
        else:
            say("breaking", where, "%s is another" % key)
    for key in sorted((set(old) | set(new)) - {"type", "enum", "properties", "required", "items", "then", "else", "additionalProperties"} - WORDS):
        if old.get(key) != new.get(key):
            say("breaking", where, "%s is another" % key)


def main():
    old, new = read(sys.argv[1]), read(sys.argv[2])
    found = set()

    def teller(name):
        def say(what, where, text):
            found.add(what)
            print("%s %s %s: %s" % (what, name, where, text))
        return say
    for name in sorted(set(old) | set(new)):
        if name not in new:
            teller(name)("breaking", "$", "is gone")
        elif name not in old:
            if name != "common.json":
                teller(name)("feature", "$", "is new")
        else:
            compare(resolve(old, name, old[name]), resolve(new, name, new[name]), "$", teller(name))
    return 20 if "breaking" in found else 10 if found else 0


sys.exit(main())

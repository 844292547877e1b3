#!/usr/bin/env python3
"""man.py PROGRAM: the manual page mlxk(1), from what the program itself says (`help --json`, `version --build --json`)."""
import json, subprocess, sys


def ask(*words):
    return json.loads(subprocess.run([sys.argv[1], *words, "--json"], stdout=subprocess.PIPE, check=True).stdout)["data"]


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in ".'" else text


build = ask("version", "--build")["build"]
print('.TH MLXK 1 "%s" "mlxk %s" "User Commands"' % (build["commit_time"][:10], build["version"].split("+")[0]))
print(".SH NAME\nmlxk \\- language models from one file: pull, verify, import, version, run")
print(".SH SYNOPSIS\n.B mlxk\n[\\fB\\-h\\fR] [\\fB\\-\\-version\\fR] [\\fB\\-\\-json\\fR] \\fICOMMAND\\fR ...")
print(".SH DESCRIPTION\nModels in MLX (safetensors) format, in the cache that other tools of the hub share. \\fIMODEL\\fR is a path, a name such as")
print("org/name, a part of it, or name@revision. Every command takes \\fB\\-\\-json\\fR and prints one document then.")
print(".SH COMMANDS")
for c in ask("help")["commands"]:
    print(".SS %s%s\n%s." % (escaped(c["name"]), " (experimental)" if c["experimental"] else "", escaped(c["summary"])))
    for o in c["options"]:
        dash = o["name"].startswith("-")
        word = escaped(o["name"]) + ((", " + escaped(o["short"])) if o.get("short") else "")
        print(".TP\n%s%s%s" % ("\\fB" if dash else "\\fI", word + "\\fR", (" \\fI" + escaped(o["value"]) + "\\fR") if o.get("value") else ""))
        print(escaped(o["help"]))
print(".SH EXIT STATUS\n0 done, 1 failed, 2 usage; 69 no engine there, 76 client and engine do not fit.")
print(".SH ENVIRONMENT\n.TP\nHF_HOME, HF_HUB_CACHE\nwhere the cache is.\n.TP\nHF_TOKEN\nthe token of the hub.\n.TP\nHF_ENDPOINT\nanother hub or a mirror.")
print(".TP\nMLXK_EXPERIMENTAL\n1 opens what is experimental.")
